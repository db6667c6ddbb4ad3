#pragma once
// Integers of fixed byte order as byte arrays, for structs that are formats on a disk or a wire.
//
// Alignment 1, so that a struct of them has no padding; convert implicitly to and from the native integer.
// ul*: little-endian, our own formats. ub*: big-endian, NBD and other foreign ones.

#include <array>
#include <cstddef>
#include <cstdint>

namespace drseed {

template <typename Int, bool kBigEndian>
class EndianInt {
 public:
  constexpr EndianInt() = default;
  constexpr EndianInt(Int value) {  // NOLINT: implicit on purpose, it stands for the integer
    for (std::size_t i = 0; i < sizeof(Int); ++i) bytes_[i] = static_cast<std::uint8_t>(value >> shift(i));
  }
  constexpr operator Int() const {  // NOLINT
    Int value = 0;
    for (std::size_t i = 0; i < sizeof(Int); ++i) value |= static_cast<Int>(static_cast<Int>(bytes_[i]) << shift(i));
    return value;
  }

 private:
  static constexpr unsigned shift(std::size_t byte) {
    return static_cast<unsigned>(8 * (kBigEndian ? sizeof(Int) - 1 - byte : byte));
  }
  std::array<std::uint8_t, sizeof(Int)> bytes_{};
};

using ul16 = EndianInt<std::uint16_t, false>;
using ul32 = EndianInt<std::uint32_t, false>;
using ul64 = EndianInt<std::uint64_t, false>;
using ub16 = EndianInt<std::uint16_t, true>;
using ub32 = EndianInt<std::uint32_t, true>;
using ub64 = EndianInt<std::uint64_t, true>;

static_assert(sizeof(ul64) == 8 && alignof(ul64) == 1);

}  // namespace drseed
