#pragma once
// A set of bytes of a disk as ranges that neither touch nor overlap. Pure.

#include <map>
#include <vector>

#include "seed/image_format.h"

namespace drseed::seed {

class RangeSet {
 public:
  void add(Range range);
  bool contains(Range range) const;
  std::uint64_t total_bytes() const;
  std::vector<Range> ranges() const;
  bool empty() const { return end_by_begin_.empty(); }

 private:
  std::map<std::uint64_t, std::uint64_t> end_by_begin_;
};

}  // namespace drseed::seed
