#pragma once
// Which blocks of a volume are dirty, for one peer or seed. Pure; one thread at a time; nothing here blocks.
//
// Bits are grouped in pages of 32,768 (4 KiB). A page that is all clear or all set costs 6 bytes; one with few dirty
// blocks lists them in 64 bytes, so that scattered writes cost a cache line a page to set and to walk; any other has a
// leaf of 4 KiB. Setting a block takes no branch on what memory holds, so that many can wait for memory at once.
// Invariant: bits at and beyond block_count() are clear and counted nowhere.

#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bitmap/pool.h"

namespace drseed::bitmap {

struct BlockRun {
  std::uint64_t first = 0;  // index of a block
  std::uint64_t count = 0;  // blocks
  std::uint64_t end() const { return first + count; }
  bool operator==(const BlockRun&) const = default;
};

// Blocks that cover a byte range, rounded outward. Precondition: the range lies in the volume.
inline BlockRun blocks_covering(std::uint64_t offset_bytes, std::uint64_t length_bytes, std::uint32_t block_bytes) {
  if (length_bytes == 0) return {offset_bytes / block_bytes, 0};
  const std::uint64_t first = offset_bytes / block_bytes;
  return {first, (offset_bytes + length_bytes - 1) / block_bytes - first + 1};
}
// Blocks that lie in a byte range whole, rounded inward; the volume's last block may be short.
BlockRun blocks_within(std::uint64_t offset_bytes, std::uint64_t length_bytes, std::uint32_t block_bytes,
                       std::uint64_t volume_bytes);

constexpr std::uint64_t kPageBlocks = 32768;
constexpr std::size_t kPageWords = kPageBlocks / 64;
using PageWords = std::array<std::uint64_t, kPageWords>;  // block 64 * w + b of the page is bit b of word w

enum class PageState : std::uint8_t { kClear = 0, kSet = 1, kStored = 2 };

// A page's content at an instant, to be saved.
struct PageImage {
  std::uint64_t page = 0;
  PageState state = PageState::kClear;
  std::unique_ptr<PageWords> words;  // with kStored only
};

class DirtyBitmap {
 public:
  static constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

  // All clear.
  explicit DirtyBitmap(std::uint64_t block_count = 0);
  DirtyBitmap(DirtyBitmap&&) noexcept = default;
  DirtyBitmap& operator=(DirtyBitmap&&) noexcept = default;
  DirtyBitmap clone() const;  // with the same pages marked as changed

  std::uint64_t block_count() const { return block_count_; }
  std::uint64_t dirty_count() const { return dirty_count_; }
  bool operator==(const DirtyBitmap& other) const;  // the same bits, whatever is marked as changed

  // Precondition of all that follow: runs end at or before block_count().
  void set(std::uint64_t block);
  void set(BlockRun run);
  void clear(BlockRun run);
  void set_all() { set(BlockRun{0, block_count_}); }
  void clear_all() { clear(BlockRun{0, block_count_}); }
  bool test(std::uint64_t block) const;
  std::uint64_t count(BlockRun run) const;
  bool any(BlockRun run) const;
  bool all(BlockRun run) const { return count(run) == run.count; }

  // The first dirty run at or after `from`, cut to `count_max` blocks. Nothing when all is clear from there.
  std::optional<BlockRun> next_dirty(std::uint64_t from, std::uint64_t count_max = kUnlimited) const;

  // Bits of another bitmap of the same block_count().
  void merge(const DirtyBitmap& other);      // this or other
  void subtract(const DirtyBitmap& other);   // this and not other
  void intersect(const DirtyBitmap& other);  // this and other

  // The same dirt in blocks of another size, rounded outward. Both sizes are powers of two.
  DirtyBitmap with_block_bytes(std::uint32_t from_bytes, std::uint32_t to_bytes, std::uint64_t volume_bytes) const;
  // Blocks beyond the new end are forgotten; new ones are dirty or clean.
  void resize(std::uint64_t block_count, bool new_blocks_dirty);

  // Pages, for saving. Page p holds blocks from p * kPageBlocks.
  std::uint64_t page_count() const { return refs_.size(); }
  PageState page_state(std::uint64_t page) const;
  // Replaces a page's bits by stored ones; bits beyond the end are dropped. The page is not marked as changed.
  void load_page(std::uint64_t page, const PageWords& words);
  // Pages changed since they were last taken.
  std::uint64_t changed_count() const { return changed_count_; }
  std::vector<PageImage> take_changed(std::size_t count_max = std::numeric_limits<std::size_t>::max());
  void mark_all_changed();
  void mark_none_changed();

  std::size_t memory_bytes() const;

 private:
  static constexpr std::uint32_t kListMax = 32;
  static constexpr std::int16_t kListEnd = kPageBlocks - 1;
  // Positions in the page, ascending, as many as counts_ says; then kListEnd, which no position exceeds.
  struct alignas(64) List {
    std::array<std::int16_t, kListMax> positions;
  };
  static constexpr std::uint32_t kRefClear = 0, kRefSet = 1, kRefLeaves = 2, kRefLists = 1U << 31;
  static bool is_leaf(std::uint32_t ref) { return ref >= kRefLeaves && ref < kRefLists; }
  static bool is_list(std::uint32_t ref) { return ref >= kRefLists; }

  std::uint32_t page_blocks(std::uint64_t page) const;
  PageWords& leaf(std::uint32_t ref) { return leaves_[ref - kRefLeaves]; }
  const PageWords& leaf(std::uint32_t ref) const { return leaves_[ref - kRefLeaves]; }
  List& list(std::uint32_t ref) { return lists_[ref - kRefLists]; }
  const List& list(std::uint32_t ref) const { return lists_[ref - kRefLists]; }
  std::span<const std::int16_t> listed(std::uint64_t page) const {
    return std::span(list(refs_[page]).positions).first(counts_[page]);
  }
  std::uint32_t rank(std::uint64_t page, std::uint32_t position) const;  // listed positions below this one

  PageWords words_of(std::uint64_t page) const;
  PageWords& make_leaf(std::uint64_t page);  // of its present bits
  void make_list(std::uint64_t page);        // of a leaf's bits
  void make_uniform(std::uint64_t page, bool set);
  void release(std::uint64_t page, std::uint32_t ref_new);
  void update_count(std::uint64_t page, std::uint32_t count);  // and gives the page the form that suits it
  void set_listed(std::uint64_t page, std::uint32_t position);
  template <typename Keep>
  void keep_listed(std::uint64_t page, std::span<const std::int16_t> positions, Keep keep);
  void mark_changed(std::uint64_t page) {
    auto& word = changed_[page / 64];
    const auto bit = std::uint64_t{1} << page % 64;
    if ((word & bit) != 0) return;
    word |= bit;
    ++changed_count_;
  }
  template <bool kSetBits>
  void change_in_page(std::uint64_t page, std::uint32_t first, std::uint32_t end);
  template <bool kSetBits>
  void change(BlockRun run);
  std::uint64_t find(std::uint64_t from, bool dirty, std::uint64_t end) const;

  std::uint64_t block_count_ = 0;
  std::uint64_t dirty_count_ = 0;
  std::uint64_t changed_count_ = 0;
  std::vector<std::uint32_t> refs_;    // per page: uniform, or which leaf or list
  std::vector<std::uint16_t> counts_;  // per page: dirty blocks
  std::vector<std::uint64_t> changed_;
  Pool<PageWords, 64> leaves_;
  Pool<List, 1024> lists_;
};

inline void DirtyBitmap::set(std::uint64_t block) {
  assert(block < block_count_);
  const auto page = block / kPageBlocks;
  const auto ref = refs_[page];
  if (ref == kRefSet) return;
  if (!is_leaf(ref)) return set_listed(page, static_cast<std::uint32_t>(block % kPageBlocks));
  auto& word = leaf(ref)[block / 64 % kPageWords];
  const auto bit = std::uint64_t{1} << block % 64;
  if ((word & bit) != 0) return;
  word |= bit;
  ++dirty_count_;
  mark_changed(page);
  if (++counts_[page] == page_blocks(page)) release(page, kRefSet);
}

inline bool DirtyBitmap::test(std::uint64_t block) const {
  assert(block < block_count_);
  const auto page = block / kPageBlocks;
  const auto ref = refs_[page];
  if (ref < kRefLeaves) return ref == kRefSet;
  if (is_leaf(ref)) return (leaf(ref)[block / 64 % kPageWords] >> block % 64 & 1) != 0;
  const auto position = static_cast<std::uint32_t>(block % kPageBlocks);
  return rank(page, position + 1) > rank(page, position);
}

}  // namespace drseed::bitmap
