#include "seed/range_set.h"

#include <algorithm>

namespace drseed::seed {

void RangeSet::add(Range range) {
  if (range.length_bytes == 0) return;
  auto begin = range.offset_bytes;
  auto end = range.end();
  auto at = end_by_begin_.upper_bound(begin);
  if (at != end_by_begin_.begin() && std::prev(at)->second >= begin) --at;
  while (at != end_by_begin_.end() && at->first <= end) {
    begin = std::min(begin, at->first);
    end = std::max(end, at->second);
    at = end_by_begin_.erase(at);
  }
  end_by_begin_[begin] = end;
}

bool RangeSet::contains(Range range) const {
  auto at = end_by_begin_.upper_bound(range.offset_bytes);
  if (at == end_by_begin_.begin()) return false;
  --at;
  return at->second >= range.end();
}

std::uint64_t RangeSet::total_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [begin, end] : end_by_begin_) sum += end - begin;
  return sum;
}

std::vector<Range> RangeSet::ranges() const {
  std::vector<Range> list;
  for (const auto& [begin, end] : end_by_begin_) list.push_back({begin, end - begin});
  return list;
}

}  // namespace drseed::seed
