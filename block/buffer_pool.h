#pragma once
// A fixed number of equal, page-aligned buffers, handed out and taken back by any thread. Bounds a pipeline's memory.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace drseed::block {

class BufferPool;

// Owns one buffer of a pool, and gives it back when destroyed. Must not outlive the pool.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  explicit operator bool() const { return data_ != nullptr; }
  std::uint8_t* data() const { return data_; }
  std::size_t capacity() const;
  std::span<std::uint8_t> first(std::size_t length) const;  // asserts length <= capacity()

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, std::uint8_t* data) : pool_(pool), data_(data) {}
  BufferPool* pool_ = nullptr;
  std::uint8_t* data_ = nullptr;
};

class BufferPool {
 public:
  // capacity_bytes is rounded up to a page.
  BufferPool(std::size_t count, std::size_t capacity_bytes);
  ~BufferPool();  // asserts that every buffer is back
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  std::size_t capacity_bytes() const { return capacity_bytes_; }
  // Waits for a free buffer; an empty Buffer once stop() was called.
  Buffer take();
  // An empty Buffer where none is free.
  Buffer try_take();
  void stop();

 private:
  friend class Buffer;
  void give_back(std::uint8_t* data);

  const std::size_t capacity_bytes_;
  const std::size_t count_;
  std::uint8_t* memory_ = nullptr;  // one mapping, so that io_uring can register it
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::uint8_t*> free_;
  bool stopped_ = false;
};

}  // namespace drseed::block
