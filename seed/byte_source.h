#pragma once
// A stream of bytes to read: a file, a pipe, or what a decompressor makes of another stream. Used by one thread at a
// time.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace drseed::seed {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Reads up to bytes.size() bytes (at least one, unless the end is reached); 0 is the end. Truncated or damaged
  // compressed data is kDiffers, naming the source and the position; a failing read is kEnvironment.
  virtual Result<std::size_t> read(std::span<std::uint8_t> bytes) = 0;
};

// A file or pipe by descriptor, with a look ahead.
class FdSource : public ByteSource {
 public:
  // `name` is for messages.
  FdSource(UniqueFd fd, std::string name);
  Result<std::size_t> read(std::span<std::uint8_t> bytes) override;
  // The next `length` bytes (fewer at the end), which read() will return again.
  Result<std::span<const std::uint8_t>> peek(std::size_t length);
  std::uint64_t position_bytes() const { return position_bytes_; }         // bytes handed out by read()
  std::size_t ahead_bytes() const { return ahead_.size() - ahead_used_; }  // peeked and not yet read
  const std::string& name() const { return name_; }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::string name_;
  std::vector<std::uint8_t> ahead_;
  std::size_t ahead_used_ = 0;
  std::uint64_t position_bytes_ = 0;
};

// Reads until `bytes` is full or the end is reached; returns how many.
Result<std::size_t> read_full(ByteSource& source, std::span<std::uint8_t> bytes);

}  // namespace drseed::seed
