#include "bitmap/dirty_bitmap.h"

#include <algorithm>
#include <utility>

#include "bitmap/bulk.h"

namespace drseed::bitmap {
namespace {

constexpr std::uint64_t kPrefetchPages = 8;  // ahead of the walk
constexpr std::uint64_t kAllOnes = ~std::uint64_t{0};

// Bits [first, end) of a word; end may be 64.
std::uint64_t mask_of(std::uint32_t first, std::uint32_t end) {
  return (kAllOnes << first) & (kAllOnes >> (64 - end));
}

std::size_t word_of(std::int16_t position) {
  return static_cast<std::size_t>(position) / 64;
}

std::uint64_t pages_of(std::uint64_t blocks) {
  return (blocks + kPageBlocks - 1) / kPageBlocks;
}

}  // namespace

BlockRun blocks_within(std::uint64_t offset_bytes, std::uint64_t length_bytes, std::uint32_t block_bytes,
                       std::uint64_t volume_bytes) {
  const std::uint64_t end_bytes = offset_bytes + length_bytes;
  const std::uint64_t first = (offset_bytes + block_bytes - 1) / block_bytes;
  const std::uint64_t end =
      end_bytes >= volume_bytes ? (volume_bytes + block_bytes - 1) / block_bytes : end_bytes / block_bytes;
  return {first, end > first ? end - first : 0};
}

DirtyBitmap::DirtyBitmap(std::uint64_t block_count)
    : block_count_(block_count),
      refs_(pages_of(block_count)),
      counts_(pages_of(block_count)),
      changed_((pages_of(block_count) + 63) / 64) {}

DirtyBitmap DirtyBitmap::clone() const {
  DirtyBitmap copy(block_count_);
  copy.merge(*this);
  copy.changed_ = changed_;
  copy.changed_count_ = changed_count_;
  return copy;
}

bool DirtyBitmap::operator==(const DirtyBitmap& other) const {
  if (block_count_ != other.block_count_ || counts_ != other.counts_) return false;
  for (std::uint64_t page = 0; page < refs_.size(); ++page) {
    const auto a = refs_[page], b = other.refs_[page];
    if (a < kRefLeaves) continue;  // with equal counts a page is uniform in both or in neither
    if (is_leaf(a) && is_leaf(b)) {
      if (leaf(a) != other.leaf(b)) return false;
      continue;
    }
    const auto& tested = is_list(a) ? other : *this;
    for (const auto position : is_list(a) ? listed(page) : other.listed(page)) {
      if (!tested.test(page * kPageBlocks + static_cast<std::uint64_t>(position))) return false;
    }
  }
  return true;
}

std::uint32_t DirtyBitmap::page_blocks(std::uint64_t page) const {
  return static_cast<std::uint32_t>(std::min(kPageBlocks, block_count_ - page * kPageBlocks));
}

std::uint32_t DirtyBitmap::rank(std::uint64_t page, std::uint32_t position) const {
  if (position >= kPageBlocks) return counts_[page];
  return count_below(list(refs_[page]).positions.data(), static_cast<std::int16_t>(position));
}

PageWords& DirtyBitmap::make_leaf(std::uint64_t page) {
  const auto ref = refs_[page];
  if (is_leaf(ref)) return leaf(ref);
  const auto ref_new = leaves_.take() + kRefLeaves;
  PageWords& words = leaf(ref_new);
  words.fill(0);
  if (ref == kRefSet) {
    const auto blocks = page_blocks(page);
    std::fill_n(words.begin(), blocks / 64, kAllOnes);
    if (blocks % 64 != 0) words[blocks / 64] = mask_of(0, blocks % 64);
  } else if (is_list(ref)) {
    for (const auto position : listed(page)) words[word_of(position)] |= std::uint64_t{1} << position % 64;
  }
  release(page, ref_new);
  return words;
}

// Precondition: a leaf with at most kListMax dirty blocks.
void DirtyBitmap::make_list(std::uint64_t page) {
  const auto ref_new = lists_.take() + kRefLists;
  auto& positions = list(ref_new).positions;
  positions.fill(kListEnd);
  auto next = positions.begin();
  const PageWords& words = leaf(refs_[page]);
  for (std::size_t index = 0; index < words.size(); ++index) {
    for (auto word = words[index]; word != 0; word &= word - 1) {
      *next++ = static_cast<std::int16_t>(index * 64 + static_cast<std::size_t>(std::countr_zero(word)));
    }
  }
  release(page, ref_new);
}

void DirtyBitmap::release(std::uint64_t page, std::uint32_t ref_new) {
  const auto ref = std::exchange(refs_[page], ref_new);
  if (is_leaf(ref)) leaves_.give_back(ref - kRefLeaves);
  if (is_list(ref)) lists_.give_back(ref - kRefLists);
}

void DirtyBitmap::make_uniform(std::uint64_t page, bool set) {
  const std::uint32_t count = set ? page_blocks(page) : 0;
  if (counts_[page] == count) return;
  release(page, set ? kRefSet : kRefClear);
  dirty_count_ += count;
  dirty_count_ -= counts_[page];
  counts_[page] = static_cast<std::uint16_t>(count);
  mark_changed(page);
}

void DirtyBitmap::update_count(std::uint64_t page, std::uint32_t count) {
  if (count != counts_[page]) {
    dirty_count_ += count;
    dirty_count_ -= counts_[page];
    counts_[page] = static_cast<std::uint16_t>(count);
    mark_changed(page);
  }
  if (count == 0) return release(page, kRefClear);
  if (count == page_blocks(page)) return release(page, kRefSet);
  // At half of what a list holds, so that a page does not change its form with every block.
  if (is_leaf(refs_[page]) && count <= kListMax / 2) make_list(page);
}

// Precondition: the page is no leaf, and not all set.
void DirtyBitmap::set_listed(std::uint64_t page, std::uint32_t position) {
  const std::uint32_t count = counts_[page];
  if (count == 0) {
    const auto ref_new = lists_.take() + kRefLists;
    list(ref_new).positions.fill(kListEnd);
    refs_[page] = ref_new;
  }
  const auto at = rank(page, position);
  auto& positions = list(refs_[page]).positions;
  if (at < count && positions[at] == static_cast<std::int16_t>(position)) return;
  if (count == kListMax) {
    make_leaf(page);
    return set(page * kPageBlocks + position);
  }
  insert_position(positions.data(), static_cast<std::int16_t>(position));
  ++dirty_count_;
  ++counts_[page];
  mark_changed(page);
  if (count + 1 == page_blocks(page)) release(page, kRefSet);
}

// Makes the page a list of those positions of which keep(position) is true. They may be its own.
template <typename Keep>
void DirtyBitmap::keep_listed(std::uint64_t page, std::span<const std::int16_t> positions, Keep keep) {
  List kept;
  kept.positions.fill(kListEnd);
  std::uint32_t count = 0;
  for (const auto position : positions) {
    if (keep(static_cast<std::uint32_t>(position))) kept.positions[count++] = position;
  }
  if (!is_list(refs_[page])) release(page, lists_.take() + kRefLists);
  list(refs_[page]) = kept;
  update_count(page, count);
}

template <bool kSetBits>
void DirtyBitmap::change_in_page(std::uint64_t page, std::uint32_t first, std::uint32_t end) {
  if (refs_[page] == (kSetBits ? kRefSet : kRefClear)) return;
  if (first == 0 && end == page_blocks(page)) return make_uniform(page, kSetBits);
  if constexpr (kSetBits) {
    if (!is_leaf(refs_[page]) && counts_[page] + (end - first) <= kListMax) {
      for (auto at = first; at < end; ++at) set(page * kPageBlocks + at);
      return;
    }
  } else if (is_list(refs_[page])) {
    return keep_listed(page, listed(page), [=](std::uint32_t position) { return position < first || position >= end; });
  }
  PageWords& words = make_leaf(page);
  std::uint32_t count = counts_[page];
  for (std::uint32_t at = first; at < end;) {
    const std::uint32_t index = at / 64;
    const std::uint32_t stop = std::min(end, (index + 1) * 64);
    const auto mask = mask_of(at % 64, stop - index * 64);
    auto& word = words[index];
    if constexpr (kSetBits) {
      count += static_cast<std::uint32_t>(std::popcount(mask & ~word));
      word |= mask;
    } else {
      count -= static_cast<std::uint32_t>(std::popcount(mask & word));
      word &= ~mask;
    }
    at = stop;
  }
  update_count(page, count);
}

template <bool kSetBits>
void DirtyBitmap::change(BlockRun run) {
  assert(run.first <= block_count_ && run.count <= block_count_ - run.first);
  for (std::uint64_t at = run.first; at < run.end();) {
    const auto page = at / kPageBlocks;
    const auto page_first = page * kPageBlocks;
    const auto stop = std::min(run.end(), page_first + kPageBlocks);
    change_in_page<kSetBits>(page, static_cast<std::uint32_t>(at - page_first),
                             static_cast<std::uint32_t>(stop - page_first));
    at = stop;
  }
}

void DirtyBitmap::set(BlockRun run) {
  change<true>(run);
}

void DirtyBitmap::clear(BlockRun run) {
  change<false>(run);
}

std::uint64_t DirtyBitmap::count(BlockRun run) const {
  assert(run.first <= block_count_ && run.count <= block_count_ - run.first);
  if (run.count == block_count_) return dirty_count_;
  std::uint64_t total = 0;
  for (std::uint64_t at = run.first; at < run.end();) {
    const auto page = at / kPageBlocks;
    const auto stop = std::min({run.end(), (page + 1) * kPageBlocks, block_count_});
    const auto ref = refs_[page];
    if (stop - at == page_blocks(page)) {
      total += counts_[page];
      at = stop;
      continue;
    }
    if (ref < kRefLeaves) {
      total += ref == kRefSet ? stop - at : 0;
      at = stop;
      continue;
    }
    if (is_list(ref)) {
      const auto base = page * kPageBlocks;
      total += rank(page, static_cast<std::uint32_t>(stop - base)) - rank(page, static_cast<std::uint32_t>(at - base));
      at = stop;
      continue;
    }
    const PageWords& words = leaf(ref);
    for (const auto base = page * kPageBlocks; at < stop;) {
      const auto index = (at - base) / 64;
      const auto word_stop = std::min(stop, base + (index + 1) * 64);
      const auto mask =
          mask_of(static_cast<std::uint32_t>(at % 64), static_cast<std::uint32_t>(word_stop - base - index * 64));
      total += static_cast<std::uint64_t>(std::popcount(words[index] & mask));
      at = word_stop;
    }
  }
  return total;
}

bool DirtyBitmap::any(BlockRun run) const {
  assert(run.first <= block_count_ && run.count <= block_count_ - run.first);
  return run.count > 0 && find(run.first, true, run.end()) < run.end();
}

// The first block in [from, end) that is dirty (or clean); `end` where there is none.
std::uint64_t DirtyBitmap::find(std::uint64_t from, bool dirty, std::uint64_t end) const {
  const std::uint32_t skip = dirty ? kRefClear : kRefSet;
  while (from < end) {
    auto page = from / kPageBlocks;
    if (refs_[page] == skip) {
      const auto pages_end = pages_of(end);
      do ++page;
      while (page < pages_end && refs_[page] == skip);
      from = page * kPageBlocks;
      continue;
    }
    if (refs_[page] < kRefLeaves) return from;
    const auto base = page * kPageBlocks;
    if (is_list(refs_[page])) {
      const auto positions = listed(page);
      auto position = static_cast<std::uint32_t>(from - base);
      auto at = rank(page, position);
      if (dirty) {
        position = at < positions.size() ? static_cast<std::uint32_t>(positions[at]) : kPageBlocks;
      } else {
        while (at < positions.size() && static_cast<std::uint32_t>(positions[at]) == position) ++at, ++position;
      }
      if (position < kPageBlocks) return std::min(end, base + position);
      from = base + kPageBlocks;
      continue;
    }
    const PageWords& words = leaf(refs_[page]);
    const auto flip = dirty ? 0 : kAllOnes;
    auto index = static_cast<std::size_t>((from - base) / 64);
    auto word = (words[index] ^ flip) & kAllOnes << from % 64;
    while (word == 0 && ++index < kPageWords) word = words[index] ^ flip;
    if (word != 0) return std::min(end, base + index * 64 + static_cast<std::uint64_t>(std::countr_zero(word)));
    from = base + kPageBlocks;
  }
  return end;
}

std::optional<BlockRun> DirtyBitmap::next_dirty(std::uint64_t from, std::uint64_t count_max) const {
  assert(count_max > 0);
  // Scattered dirt first: a run that begins and ends in a list is found in one look.
  auto page = from / kPageBlocks;
  auto position = static_cast<std::uint32_t>(from % kPageBlocks);
  for (; page < refs_.size() && (refs_[page] == kRefClear || is_list(refs_[page])); ++page, position = 0) {
    if (refs_[page] == kRefClear) continue;
    if (page + kPrefetchPages < refs_.size() && is_list(refs_[page + kPrefetchPages]))
      __builtin_prefetch(&list(refs_[page + kPrefetchPages]));
    const auto positions = listed(page);
    const auto at = position == 0 ? 0 : rank(page, position);
    if (at == positions.size()) continue;
    auto next = at + 1;
    while (next < positions.size() && positions[next] == positions[next - 1] + 1) ++next;
    if (positions[next - 1] == kPageBlocks - 1) break;
    return BlockRun{page * kPageBlocks + static_cast<std::uint64_t>(positions[at]),
                    std::min<std::uint64_t>(next - at, count_max)};
  }
  const auto first = find(page * kPageBlocks + position, true, block_count_);
  if (first >= block_count_) return std::nullopt;
  const auto limit = count_max < block_count_ - first ? first + count_max : block_count_;
  return BlockRun{first, find(first + 1, false, limit) - first};
}

void DirtyBitmap::merge(const DirtyBitmap& other) {
  assert(block_count_ == other.block_count_);
  for (std::uint64_t page = 0; page < refs_.size(); ++page) {
    const auto from = other.refs_[page];
    if (from == kRefClear || refs_[page] == kRefSet) continue;
    if (from == kRefSet) {
      make_uniform(page, true);
      continue;
    }
    if (is_list(from)) {
      for (const auto position : other.listed(page)) set(page * kPageBlocks + static_cast<std::uint64_t>(position));
      continue;
    }
    update_count(page, or_words(make_leaf(page).data(), other.leaf(from).data(), kPageWords));
  }
}

void DirtyBitmap::subtract(const DirtyBitmap& other) {
  assert(block_count_ == other.block_count_);
  for (std::uint64_t page = 0; page < refs_.size(); ++page) {
    const auto from = other.refs_[page];
    if (from == kRefClear || refs_[page] == kRefClear) continue;
    if (from == kRefSet) {
      make_uniform(page, false);
      continue;
    }
    const auto base = page * kPageBlocks;
    if (is_list(refs_[page])) {
      keep_listed(page, listed(page), [&](std::uint32_t position) { return !other.test(base + position); });
      continue;
    }
    if (is_list(from)) {
      for (const auto position : other.listed(page)) clear({base + static_cast<std::uint64_t>(position), 1});
      continue;
    }
    update_count(page, and_not_words(make_leaf(page).data(), other.leaf(from).data(), kPageWords));
  }
}

void DirtyBitmap::intersect(const DirtyBitmap& other) {
  assert(block_count_ == other.block_count_);
  for (std::uint64_t page = 0; page < refs_.size(); ++page) {
    const auto from = other.refs_[page];
    if (from == kRefSet || refs_[page] == kRefClear) continue;
    if (from == kRefClear) {
      make_uniform(page, false);
      continue;
    }
    const auto base = page * kPageBlocks;
    if (is_list(refs_[page])) {
      keep_listed(page, listed(page), [&](std::uint32_t position) { return other.test(base + position); });
      continue;
    }
    if (is_list(from)) {
      keep_listed(page, other.listed(page), [&](std::uint32_t position) { return test(base + position); });
      continue;
    }
    update_count(page, and_words(make_leaf(page).data(), other.leaf(from).data(), kPageWords));
  }
}

DirtyBitmap DirtyBitmap::with_block_bytes(std::uint32_t from_bytes, std::uint32_t to_bytes,
                                          std::uint64_t volume_bytes) const {
  assert(std::has_single_bit(from_bytes) && std::has_single_bit(to_bytes));
  assert(block_count_ == (volume_bytes + from_bytes - 1) / from_bytes);
  DirtyBitmap result((volume_bytes + to_bytes - 1) / to_bytes);
  for (auto run = next_dirty(0); run; run = next_dirty(run->end())) {
    const auto offset = run->first * from_bytes;
    const auto end = std::min(volume_bytes, run->end() * from_bytes);
    result.set(blocks_covering(offset, end - offset, to_bytes));
  }
  return result;
}

void DirtyBitmap::resize(std::uint64_t block_count, bool new_blocks_dirty) {
  const auto old = block_count_;
  if (block_count < old) {
    clear({block_count, old - block_count});
    refs_.resize(pages_of(block_count));
  }
  // What was all set with a short last page is not so in a longer one, and the other way round.
  const auto page = std::min(old, block_count) / kPageBlocks;
  if (page < refs_.size() && refs_[page] == kRefSet) make_leaf(page);
  block_count_ = block_count;
  refs_.resize(pages_of(block_count));
  counts_.resize(refs_.size());
  changed_count_ = 0;
  changed_.resize((refs_.size() + 63) / 64);
  if (refs_.size() % 64 != 0) changed_.back() &= mask_of(0, refs_.size() % 64);
  for (const auto word : changed_) changed_count_ += static_cast<std::uint64_t>(std::popcount(word));
  if (page < refs_.size()) {
    update_count(page, counts_[page]);
    mark_changed(page);
  }
  if (block_count > old && new_blocks_dirty) set(BlockRun{old, block_count - old});
}

PageState DirtyBitmap::page_state(std::uint64_t page) const {
  const auto ref = refs_[page];
  return ref == kRefClear ? PageState::kClear : ref == kRefSet ? PageState::kSet : PageState::kStored;
}

void DirtyBitmap::load_page(std::uint64_t page, const PageWords& words) {
  const auto word = changed_[page / 64];
  const auto changed_count = changed_count_;
  PageWords& loaded = make_leaf(page);
  loaded = words;
  const auto blocks = page_blocks(page);
  if (blocks < kPageBlocks) {
    if (blocks % 64 != 0) loaded[blocks / 64] &= mask_of(0, blocks % 64);
    std::fill(loaded.begin() + (blocks + 63) / 64, loaded.end(), 0);
  }
  update_count(page, count_words(loaded.data(), kPageWords));
  if (is_leaf(refs_[page]) && counts_[page] <= kListMax) make_list(page);
  changed_[page / 64] = word;
  changed_count_ = changed_count;
}

// Of a page that is not uniform.
PageWords DirtyBitmap::words_of(std::uint64_t page) const {
  if (is_leaf(refs_[page])) return leaf(refs_[page]);
  PageWords words{};
  for (const auto position : listed(page)) words[word_of(position)] |= std::uint64_t{1} << position % 64;
  return words;
}

std::vector<PageImage> DirtyBitmap::take_changed(std::size_t count_max) {
  std::vector<PageImage> images;
  for (std::size_t i = 0; i < changed_.size() && images.size() < count_max; ++i) {
    while (changed_[i] != 0 && images.size() < count_max) {
      const auto page = i * 64 + static_cast<std::uint64_t>(std::countr_zero(changed_[i]));
      changed_[i] &= changed_[i] - 1;
      --changed_count_;
      PageImage image{page, page_state(page), nullptr};
      if (image.state == PageState::kStored) image.words = std::make_unique<PageWords>(words_of(page));
      images.push_back(std::move(image));
    }
  }
  return images;
}

void DirtyBitmap::mark_all_changed() {
  for (std::uint64_t page = 0; page < refs_.size(); ++page) mark_changed(page);
}

void DirtyBitmap::mark_none_changed() {
  std::fill(changed_.begin(), changed_.end(), 0);
  changed_count_ = 0;
}

std::size_t DirtyBitmap::memory_bytes() const {
  return sizeof *this + refs_.capacity() * sizeof refs_[0] + counts_.capacity() * sizeof counts_[0] +
         changed_.capacity() * sizeof changed_[0] + leaves_.memory_bytes() + lists_.memory_bytes();
}

}  // namespace drseed::bitmap
