// bitmap/dirty_bitmap: random operations against a plain vector of bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "bitmap/dirty_bitmap.h"

namespace drseed::bitmap {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The images' bits put into a bitmap, as a reader of the file does it.
void load_images(DirtyBitmap& bits, const std::vector<PageImage>& images) {
  for (const auto& image : images) {
    PageWords words;
    words.fill(image.state == PageState::kSet ? ~std::uint64_t{0} : 0);
    bits.load_page(image.page, image.words ? *image.words : words);
  }
}

// The bitmap, what it should hold, and what a file would hold that every change was saved to.
class Model {
 public:
  Model(std::uint64_t blocks, std::uint64_t seed) : random_(seed), bits_(blocks), expected_(blocks), saved_(blocks) {}

  void step() {
    // Pages with much and with little dirt are kept in different forms.
    if (below(2000) == 0) change_density();
    // The costly ones are rare.
    const auto dice = below(1000);
    if (dice < (sparse_ ? 100U : 300U)) return set_one();
    if (dice < 450) return set_or_clear_run(true);
    if (dice < 650) return set_or_clear_run(false);
    if (dice < 750) return test_one();
    if (dice < 850) return ask_run();
    if (dice < 990) return ask_next();
    if (dice < 994) return save(below(3));
    if (dice < 996) return combine();
    if (dice < 997) return resize();
    if (dice < 998) return other_block_bytes();
    if (dice < 999) return compare();
    if (below(8) == 0) set_all_or_clear_all();
  }

  void compare() {
    std::uint64_t dirty = 0;
    for (std::uint64_t page = 0; page < bits_.page_count(); ++page) {
      const auto first = page * kPageBlocks;
      const auto blocks = std::min(kPageBlocks, expected_.size() - first);
      std::uint64_t dirty_here = 0;
      for (std::uint64_t i = 0; i < blocks; ++i) {
        const bool expected = expected_[first + i];
        dirty_here += expected;
        if (bits_.test(first + i) != expected) FAIL() << "block " << first + i;
      }
      ASSERT_EQ(bits_.page_state(page), dirty_here == 0        ? PageState::kClear
                                        : dirty_here == blocks ? PageState::kSet
                                                               : PageState::kStored)
          << "page " << page;
      ASSERT_EQ(bits_.count({first, blocks}), dirty_here);
      dirty += dirty_here;
    }
    ASSERT_EQ(bits_.dirty_count(), dirty);
    std::uint64_t walked = 0;
    for (auto run = bits_.next_dirty(0); run; run = bits_.next_dirty(run->end())) walked += run->count;
    ASSERT_EQ(walked, dirty);
    auto copy = bits_.clone();
    ASSERT_TRUE(copy == bits_);
    ASSERT_EQ(copy.changed_count(), bits_.changed_count());
    if (!expected_.empty()) {
      const auto block = below(expected_.size());
      expected_[block] ? copy.clear({block, 1}) : copy.set(block);
      ASSERT_FALSE(copy == bits_);
    }
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  std::uint64_t size() const { return expected_.size(); }

  // Mostly short; the ends of words, pages and of the whole are likelier than others.
  BlockRun any_run() {
    auto first = below(size());
    if (below(8) == 0) first = first / 64 * 64;
    if (below(16) == 0) first = first / kPageBlocks * kPageBlocks;
    auto count = below(100) == 0 ? below(size()) + 1 : below(20) == 0 ? below(1000) + 1 : below(40);
    if (below(200) == 0) count = kPageBlocks;
    count = std::min(count, size() - first);
    if (below(50) == 0) count = std::min<std::uint64_t>(size() - first, 3 * kPageBlocks);
    return {first, count};
  }

  void change_density() {
    sparse_ = !sparse_;
    if (!sparse_) return;
    bits_.clear_all();
    std::fill(expected_.begin(), expected_.end(), false);
  }

  std::uint64_t expected_count(BlockRun run) const {
    std::uint64_t count = 0;
    for (auto i = run.first; i < run.end(); ++i) count += expected_[i];
    return count;
  }

  static auto at(std::vector<bool>& bits, std::uint64_t index) {
    return bits.begin() + static_cast<std::ptrdiff_t>(index);
  }

  void set_one() {
    const auto block = below(size());
    bits_.set(block);
    expected_[block] = true;
    ASSERT_TRUE(bits_.test(block));
  }

  void set_or_clear_run(bool set) {
    auto run = any_run();
    if (sparse_) run.count = set || below(20) > 0 ? std::min<std::uint64_t>(run.count, below(5)) : size() - run.first;
    const auto before = bits_.dirty_count();
    const auto expected_before = expected_count(run);
    set ? bits_.set(run) : bits_.clear(run);
    std::fill(at(expected_, run.first), at(expected_, run.end()), set);
    ASSERT_EQ(bits_.dirty_count() - before, (set ? run.count : 0) - expected_before);
    ASSERT_EQ(bits_.count(run), set ? run.count : 0);
  }

  void set_all_or_clear_all() {
    const bool set = below(2) == 0;
    set ? bits_.set_all() : bits_.clear_all();
    std::fill(expected_.begin(), expected_.end(), set);
  }

  void test_one() {
    const auto block = below(size());
    ASSERT_EQ(bits_.test(block), expected_[block]) << "block " << block;
  }

  void ask_run() {
    const auto run = any_run();
    const auto expected = expected_count(run);
    ASSERT_EQ(bits_.count(run), expected);
    ASSERT_EQ(bits_.any(run), expected > 0);
    ASSERT_EQ(bits_.all(run), expected == run.count);
  }

  void ask_next() {
    const auto from = below(size() + 1);
    const auto max = below(3) == 0   ? DirtyBitmap::kUnlimited
                     : below(3) == 0 ? below(2 * kPageBlocks) + 1
                                     : below(9) + 1;
    const auto found = std::find(at(expected_, from), expected_.end(), true);
    const auto first = static_cast<std::uint64_t>(found - expected_.begin());
    const auto limit = max < size() - first ? first + max : size();
    const auto end = std::find(found, at(expected_, limit), false);
    const auto run = bits_.next_dirty(from, max);
    ASSERT_EQ(run.has_value(), first < size());
    if (!run) return;
    ASSERT_EQ(*run, (BlockRun{first, static_cast<std::uint64_t>(end - found)})) << "from " << from;
  }

  void save(std::uint64_t how) {
    const auto before = bits_.changed_count();
    const auto images = how == 0 ? bits_.take_changed(below(4)) : bits_.take_changed();
    ASSERT_EQ(bits_.changed_count(), before - images.size());
    for (const auto& image : images) ASSERT_EQ(image.words != nullptr, image.state == PageState::kStored);
    const auto saved_changed = saved_.changed_count();
    load_images(saved_, images);
    ASSERT_EQ(saved_.changed_count(), saved_changed);
    ASSERT_TRUE(bits_.changed_count() > 0 || saved_ == bits_);
  }

  void combine() {
    DirtyBitmap other(size());
    std::vector<bool> expected_other(size());
    if (below(4) == 0) {
      other.set_all();
      expected_other.flip();
    }
    for (auto runs = below(30); runs > 0; --runs) {
      auto run = any_run();
      if (below(2) == 0) run.count = std::min(size() - run.first, below(size()));
      const bool set = below(2) == 0;
      set ? other.set(run) : other.clear(run);
      std::fill(at(expected_other, run.first), at(expected_other, run.end()), set);
    }
    const auto how = below(3);
    if (how == 0) bits_.merge(other);
    if (how == 1) bits_.subtract(other);
    if (how == 2) bits_.intersect(other);
    for (std::uint64_t i = 0; i < size(); ++i) {
      const bool a = expected_[i], b = expected_other[i];
      expected_[i] = how == 0 ? a || b : how == 1 ? a && !b : a && b;
    }
    compare();
  }

  void resize() {
    const auto dirty = below(2) == 0;
    const auto old = size();
    auto blocks = below(3) == 0   ? old / 2 + below(old + 1)
                  : below(2) == 0 ? (old / kPageBlocks + below(2)) * kPageBlocks
                                  : old + below(100);
    blocks = std::clamp<std::uint64_t>(blocks, 1, 200'000);
    bits_.resize(blocks, dirty);
    expected_.resize(blocks, dirty);
    saved_.resize(blocks, false);
    compare();
    save(1);
    // And back, so that a run of the test keeps about its size.
    bits_.resize(old, !dirty);
    expected_.resize(old, !dirty);
    saved_.resize(old, false);
    compare();
  }

  void other_block_bytes() {
    const std::uint32_t from = 4096U << below(5);
    const std::uint32_t to = 4096U << below(7);
    const auto volume = size() * from - below(from);
    const auto blocks = (volume + to - 1) / to;
    if (blocks > 400'000) return;
    const auto result = bits_.with_block_bytes(from, to, volume);
    ASSERT_EQ(result.block_count(), blocks);
    // Each new block is dirty if and only if one that it shares a byte with was.
    std::uint64_t dirty = 0;
    for (std::uint64_t i = 0; i < blocks; ++i) {
      const auto end_bytes = std::min(volume, (i + 1) * to);
      bool expected = false;
      for (auto old = i * to / from; old * from < end_bytes; ++old) expected = expected || expected_[old];
      ASSERT_EQ(result.test(i), expected) << "block " << i << ", from " << from << " to " << to;
      dirty += expected;
    }
    ASSERT_EQ(result.dirty_count(), dirty);
  }

  std::mt19937_64 random_;
  DirtyBitmap bits_;
  std::vector<bool> expected_;
  DirtyBitmap saved_;
  bool sparse_ = false;
};

struct Size {
  std::uint64_t blocks;
  std::uint64_t steps;
};

class DirtyBitmapModel : public testing::TestWithParam<Size> {};

TEST_P(DirtyBitmapModel, RandomOperationsEqualAPlainVectorOfBits) {
  const auto [blocks, steps] = GetParam();
  const auto seed = 20'240'000 + blocks;
  Model model(blocks, seed);
  for (std::uint64_t step = 0; step < steps; ++step) {
    model.step();
    if (HasFatalFailure()) FAIL() << "seed " << seed << ", step " << step;
  }
  model.compare();
}

INSTANTIATE_TEST_SUITE_P(Sizes, DirtyBitmapModel,
                         testing::Values(Size{1, 20'000}, Size{63, 40'000}, Size{64, 40'000}, Size{65, 100'000},
                                         Size{1000, 360'000}, Size{kPageBlocks - 1, 80'000}, Size{kPageBlocks, 80'000},
                                         Size{kPageBlocks + 1, 80'000}, Size{2 * kPageBlocks, 60'000},
                                         Size{100'001, 60'000}, Size{4 * kPageBlocks, 40'000}, Size{200'000, 40'000}),
                         [](const auto& size) { return std::to_string(size.param.blocks); });

}  // namespace
}  // namespace drseed::bitmap
