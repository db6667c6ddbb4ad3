#include "bitmap/bulk.h"

#include <bit>
#include <cstring>
#include <limits>

// The baseline x86-64 has no instruction that counts bits. Sanitizers cannot run before ifuncs are resolved.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define DRSEED_BULK __attribute__((target_clones("default", "arch=x86-64-v2", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define DRSEED_BULK
#endif

namespace drseed::bitmap {

DRSEED_BULK std::uint32_t or_words(std::uint64_t* to, const std::uint64_t* from, std::size_t count) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    to[i] |= from[i];
    bits += static_cast<std::uint64_t>(std::popcount(to[i]));
  }
  return static_cast<std::uint32_t>(bits);
}

DRSEED_BULK std::uint32_t and_words(std::uint64_t* to, const std::uint64_t* from, std::size_t count) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    to[i] &= from[i];
    bits += static_cast<std::uint64_t>(std::popcount(to[i]));
  }
  return static_cast<std::uint32_t>(bits);
}

DRSEED_BULK std::uint32_t and_not_words(std::uint64_t* to, const std::uint64_t* from, std::size_t count) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    to[i] &= ~from[i];
    bits += static_cast<std::uint64_t>(std::popcount(to[i]));
  }
  return static_cast<std::uint32_t>(bits);
}

DRSEED_BULK std::uint32_t count_words(const std::uint64_t* words, std::size_t count) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < count; ++i) bits += static_cast<std::uint64_t>(std::popcount(words[i]));
  return static_cast<std::uint32_t>(bits);
}

std::uint32_t count_below(const std::int16_t* positions, std::int16_t position) {
  std::int16_t below = 0;
  for (std::size_t i = 0; i < 32; ++i) below = static_cast<std::int16_t>(below + (positions[i] < position));
  return static_cast<std::uint32_t>(below);
}

// Without a branch on what is listed: what is below the new one stays; of the rest each takes its predecessor's place,
// the first of them the new one.
void insert_position(std::int16_t* positions, std::int16_t position) {
  std::int16_t before[32], after[32];
  before[0] = std::numeric_limits<std::int16_t>::min();
  std::memcpy(before + 1, positions, 31 * sizeof *positions);
  std::memcpy(after, positions, 32 * sizeof *positions);
  for (std::size_t i = 0; i < 32; ++i) {
    const std::int16_t moved = before[i] > position ? before[i] : position;
    after[i] = moved < after[i] ? moved : after[i];
  }
  std::memcpy(positions, after, 32 * sizeof *positions);
}

}  // namespace drseed::bitmap
