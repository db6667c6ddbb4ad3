#pragma once
// The index of one volume while it is made: entries in order, kept in an unlinked temporary file beyond a small buffer,
// so that memory does not grow with the volume. One thread.

#include <functional>
#include <vector>

#include "base/unique_fd.h"
#include "seed/image_format.h"

namespace drseed::seed {

class EntrySpool {
 public:
  Result<> add(const IndexEntry& entry);
  std::uint64_t count() const { return count_; }
  std::uint64_t data_count() const { return data_count_; }
  // Precondition: number < count(). Cheap in ascending order.
  Result<IndexEntry> at(std::uint64_t number);
  // Calls `visit` for every entry in order, until it fails.
  Result<> for_each(const std::function<Result<>(const IndexEntry&)>& visit);
  void clear();

 private:
  Result<> spill();

  std::vector<IndexEntry> tail_;
  std::vector<IndexEntry> chunk_;  // read back from the file
  std::uint64_t chunk_first_ = 0;
  UniqueFd file_;
  std::uint64_t spilled_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t data_count_ = 0;
};

}  // namespace drseed::seed
