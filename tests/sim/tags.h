#pragma once
// What a sector of a simulated disk holds: which write put it there, and for which sector it was meant.

#include <cstdint>
#include <memory>
#include <vector>

namespace drseed::sim {

constexpr std::uint64_t kSectorBytes = 512;
using Time = std::uint64_t;     // virtual microseconds
using Serial = std::uint64_t;   // an instant: larger is later, never twice
using WriteId = std::uint32_t;  // of a client's write, from 1; larger was submitted later
using Tag = std::uint64_t;      // 0: zeros
using Tags = std::vector<Tag>;
using Bytes = std::shared_ptr<const Tags>;  // a buffer's content; nobody changes it

constexpr WriteId kInitialWrite = 1;  // what the volume held before the history began

constexpr Tag tag_of(WriteId write, std::uint64_t sector) {
  return Tag{write} << 32 | sector;
}
constexpr Tag kRotten = Tag{1} << 63;  // not what was written: bits have rotten since
constexpr Tag without_rot(Tag tag) {
  return tag & ~kRotten;
}
constexpr WriteId write_of(Tag tag) {
  return static_cast<WriteId>(without_rot(tag) >> 32);
}
constexpr std::uint64_t sector_of(Tag tag) {
  return tag & 0xffffffff;
}

}  // namespace drseed::sim
