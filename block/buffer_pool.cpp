#include "block/buffer_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cassert>
#include <utility>

namespace drseed::block {
namespace {

std::size_t rounded_up_to_page(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), data_(std::exchange(other.data_, nullptr)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  Buffer moved(std::move(other));
  std::swap(pool_, moved.pool_);
  std::swap(data_, moved.data_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) pool_->give_back(data_);
}

std::size_t Buffer::capacity() const {
  return pool_ == nullptr ? 0 : pool_->capacity_bytes();
}

std::span<std::uint8_t> Buffer::first(std::size_t length) const {
  assert(length <= capacity());
  return {data_, length};
}

BufferPool::BufferPool(std::size_t count, std::size_t capacity_bytes)
    : capacity_bytes_(rounded_up_to_page(capacity_bytes)), count_(count) {
  assert(count > 0 && capacity_bytes > 0 && capacity_bytes_ <= SIZE_MAX / count);
  void* memory = mmap(nullptr, count_ * capacity_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert(memory != MAP_FAILED);
  memory_ = static_cast<std::uint8_t*>(memory);
  free_.reserve(count_);
  for (std::size_t i = count_; i > 0; --i) free_.push_back(memory_ + (i - 1) * capacity_bytes_);
}

BufferPool::~BufferPool() {
  assert(free_.size() == count_);
  munmap(memory_, count_ * capacity_bytes_);
}

Buffer BufferPool::take() {
  std::unique_lock lock(mutex_);
  freed_.wait(lock, [this] { return stopped_ || !free_.empty(); });
  if (stopped_) return {};
  Buffer buffer(this, free_.back());
  free_.pop_back();
  return buffer;
}

Buffer BufferPool::try_take() {
  std::lock_guard lock(mutex_);
  if (stopped_ || free_.empty()) return {};
  Buffer buffer(this, free_.back());
  free_.pop_back();
  return buffer;
}

void BufferPool::stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  freed_.notify_all();
}

void BufferPool::give_back(std::uint8_t* data) {
  std::lock_guard lock(mutex_);
  assert(free_.size() < count_);
  free_.push_back(data);
  freed_.notify_one();
}

}  // namespace drseed::block
