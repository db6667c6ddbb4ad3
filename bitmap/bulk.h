#pragma once
// Loops over the words of a page, compiled for several processors where the compiler can choose at start. Pure.

#include <cstddef>
#include <cstdint>

namespace drseed::bitmap {

// Each returns how many bits are set in the words of `to` afterwards.
std::uint32_t or_words(std::uint64_t* to, const std::uint64_t* from, std::size_t count);
std::uint32_t and_words(std::uint64_t* to, const std::uint64_t* from, std::size_t count);
std::uint32_t and_not_words(std::uint64_t* to, const std::uint64_t* from, std::size_t count);
std::uint32_t count_words(const std::uint64_t* words, std::size_t count);

// How many of 32 positions are below this one.
std::uint32_t count_below(const std::int16_t* positions, std::int16_t position);
// Puts a position into 32 that ascend; the last one falls out.
void insert_position(std::int16_t* positions, std::int16_t position);

}  // namespace drseed::bitmap
