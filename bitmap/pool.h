#pragma once
// Objects of one size, named by small numbers instead of pointers. Pure; one thread at a time. Memory grows by chunks,
// and goes back when nothing is taken any more.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

namespace drseed::bitmap {

// References stay valid until their object is given back.
template <typename T, std::uint32_t kPerChunk>
class Pool {
  static_assert(std::is_trivial_v<T>);

 public:
  T& operator[](std::uint32_t index) { return chunks_[index / kPerChunk][index % kPerChunk]; }
  const T& operator[](std::uint32_t index) const { return chunks_[index / kPerChunk][index % kPerChunk]; }

  // Its content is whatever was there.
  std::uint32_t take() {
    if (free_.empty()) {
      const auto first = static_cast<std::uint32_t>(chunks_.size()) * kPerChunk;
      chunks_.push_back(std::make_unique_for_overwrite<T[]>(kPerChunk));
      for (std::uint32_t i = kPerChunk; i-- > 0;) free_.push_back(first + i);
    }
    const auto index = free_.back();
    free_.pop_back();
    return index;
  }

  void give_back(std::uint32_t index) {
    free_.push_back(index);
    // A single chunk stays, so that a lone object that comes and goes costs no allocation each time.
    if (chunks_.size() > 1 && free_.size() == chunks_.size() * kPerChunk) *this = Pool();
  }

  std::size_t memory_bytes() const {
    return chunks_.size() * kPerChunk * sizeof(T) + chunks_.capacity() * sizeof chunks_[0] +
           free_.capacity() * sizeof free_[0];
  }

 private:
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<std::uint32_t> free_;
};

}  // namespace drseed::bitmap
