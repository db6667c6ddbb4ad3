#pragma once
// Where a bitmap file's bytes are: the one seam between the format's rules and a disk, real or simulated. Pure.

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace drseed::bitmap {

class BitmapStore {
 public:
  virtual ~BitmapStore() = default;
  virtual std::string name() const = 0;  // for messages
  virtual Result<std::uint64_t> size_bytes() = 0;
  virtual Result<> read(std::uint64_t offset_bytes, std::span<std::uint8_t> bytes) = 0;
  // Not durable before sync(). After a crash each 512-byte sector written since the last sync is old or new.
  virtual Result<> write(std::uint64_t offset_bytes, std::span<const std::uint8_t> bytes) = 0;
  virtual Result<> sync() = 0;
};

}  // namespace drseed::bitmap
