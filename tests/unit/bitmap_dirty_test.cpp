// bitmap/dirty_bitmap: each rule by itself.
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

std::vector<BlockRun> runs_of(const DirtyBitmap& bits) {
  std::vector<BlockRun> runs;
  for (auto run = bits.next_dirty(0); run; run = bits.next_dirty(run->end())) runs.push_back(*run);
  return runs;
}

std::vector<std::uint64_t> pages_of(const std::vector<PageImage>& images) {
  std::vector<std::uint64_t> pages;
  for (const auto& image : images) pages.push_back(image.page);
  return pages;
}

TEST(DirtyBitmap, StartsClear) {
  const DirtyBitmap bits(100'000);
  EXPECT_EQ(bits.dirty_count(), 0U);
  EXPECT_EQ(bits.changed_count(), 0U);
  EXPECT_EQ(bits.next_dirty(0), std::nullopt);
  EXPECT_FALSE(bits.any({0, 100'000}));
}

TEST(DirtyBitmap, ABitmapOfNothingHasNoPage) {
  DirtyBitmap bits(0);
  bits.set_all();
  bits.clear_all();
  EXPECT_EQ(bits.page_count(), 0U);
  EXPECT_EQ(bits.next_dirty(0), std::nullopt);
  EXPECT_THAT(bits.take_changed(), IsEmpty());
  EXPECT_TRUE(bits == bits.clone());
}

TEST(DirtyBitmap, AnEmptyRunIsNeitherDirtyNorAChange) {
  DirtyBitmap bits(kPageBlocks);
  bits.set(BlockRun{kPageBlocks, 0});
  bits.clear(BlockRun{0, 0});
  EXPECT_EQ(bits.changed_count(), 0U);
  bits.set_all();
  EXPECT_FALSE(bits.any({5, 0}));
  EXPECT_EQ(bits.count({5, 0}), 0U);
  EXPECT_TRUE(bits.all({5, 0}));
}

TEST(DirtyBitmap, ClearPageTakesNoLeaf) {
  DirtyBitmap bits(3 * kPageBlocks);
  const auto before = bits.memory_bytes();
  bits.clear({10, kPageBlocks});
  EXPECT_EQ(bits.memory_bytes(), before);
  EXPECT_EQ(bits.page_state(0), PageState::kClear);
}

TEST(DirtyBitmap, AllSetPageTakesNoLeaf) {
  DirtyBitmap bits(2 * kPageBlocks + 5);
  const auto before = bits.memory_bytes();
  bits.set_all();
  EXPECT_EQ(bits.memory_bytes(), before);
  for (std::uint64_t page = 0; page < 3; ++page) EXPECT_EQ(bits.page_state(page), PageState::kSet);
  EXPECT_EQ(bits.dirty_count(), 2 * kPageBlocks + 5);
}

TEST(DirtyBitmap, APageThatFillsBlockByBlockGivesItsLeafBack) {
  DirtyBitmap bits(kPageBlocks + 70);
  for (std::uint64_t block = 0; block < bits.block_count(); ++block) bits.set(block);
  EXPECT_EQ(bits.page_state(0), PageState::kSet);
  EXPECT_EQ(bits.page_state(1), PageState::kSet);
  const auto before = bits.memory_bytes();
  bits.clear({3, 1});
  bits.clear({kPageBlocks, 1});
  EXPECT_EQ(bits.page_state(0), PageState::kStored);
  EXPECT_EQ(bits.page_state(1), PageState::kStored);
  EXPECT_EQ(bits.memory_bytes(), before) << "freed leaves are used again";
}

TEST(DirtyBitmap, APageThatEmptiesBlockByBlockGivesItsLeafBack) {
  DirtyBitmap bits(kPageBlocks);
  for (const std::uint64_t block : {0, 63, 64, 32767}) bits.set(block);
  for (const std::uint64_t block : {64, 0, 32767, 63}) {
    EXPECT_EQ(bits.page_state(0), PageState::kStored);
    bits.clear({block, 1});
  }
  EXPECT_EQ(bits.page_state(0), PageState::kClear);
}

TEST(DirtyBitmap, EmptySlotOf16TiBTakesLessThanOneMiB) {
  DirtyBitmap bits((std::uint64_t{16} << 40) / 4096);
  EXPECT_LT(bits.memory_bytes(), 1U << 20);
  bits.set_all();
  EXPECT_LT(bits.memory_bytes(), 1U << 20);
  EXPECT_EQ(bits.dirty_count(), std::uint64_t{1} << 32);
}

TEST(DirtyBitmap, AFewScatteredBlocksTakeACacheLineAPage) {
  DirtyBitmap bits(10'000 * kPageBlocks);
  const auto empty = bits.memory_bytes();
  for (std::uint64_t page = 0; page < 10'000; ++page) {
    for (std::uint64_t i = 0; i < 32; ++i) bits.set(page * kPageBlocks + (i * 7919 + page) % kPageBlocks);
  }
  EXPECT_EQ(bits.dirty_count(), 320'000U);
  EXPECT_LT(bits.memory_bytes() - empty, 10'000U * 80);
}

TEST(DirtyBitmap, APageOfWhichLittleIsLeftTakesACacheLineAgain) {
  DirtyBitmap bits(1000 * kPageBlocks), few(1000 * kPageBlocks);
  for (std::uint64_t page = 0; page < 1000; ++page) {
    bits.set(BlockRun{page * kPageBlocks, 100});
    few.set(page * kPageBlocks + 99);
  }
  EXPECT_GT(bits.memory_bytes(), 1000U * 4096);
  auto cut = bits.clone();
  for (std::uint64_t page = 0; page < 1000; ++page) cut.clear({page * kPageBlocks, 99});
  EXPECT_LT(cut.memory_bytes(), 1000U * 500);
  bits.intersect(few);
  EXPECT_LT(bits.memory_bytes(), 1000U * 500);
  EXPECT_TRUE(bits == few && cut == few);
}

TEST(DirtyBitmap, ListsThatBecomeEmptyAreUsedAgain) {
  DirtyBitmap bits(100'000 * kPageBlocks);
  const auto empty = bits.memory_bytes();
  for (std::uint64_t page = 0; page < 100'000; ++page) {
    bits.set(page * kPageBlocks + 5);
    bits.clear({page * kPageBlocks + 5, 1});
  }
  EXPECT_LT(bits.memory_bytes(), empty + 100'000);
}

TEST(DirtyBitmap, APageKeepsItsBitsFromFewToManyToFew) {
  DirtyBitmap bits(2 * kPageBlocks);
  std::vector<BlockRun> expected;
  for (std::uint64_t i = 0; i < 40; ++i) expected.push_back({i * 821, 1});  // 32,768 is no multiple
  for (const auto run : expected) bits.set(run.first);
  EXPECT_EQ(runs_of(bits), expected);
  while (!expected.empty()) {
    bits.clear(expected.back());
    expected.pop_back();
    ASSERT_EQ(runs_of(bits), expected);
    ASSERT_EQ(bits.dirty_count(), expected.size());
  }
}

TEST(DirtyBitmap, TheLastBlocksOfAPageAreListedAsWell) {
  DirtyBitmap bits(3 * kPageBlocks);
  bits.set(kPageBlocks - 1);
  EXPECT_FALSE(bits.test(kPageBlocks - 2));
  EXPECT_TRUE(bits.test(kPageBlocks - 1));
  EXPECT_EQ(bits.count({kPageBlocks - 2, 2}), 1U);
  bits.set(kPageBlocks - 1);
  bits.set(kPageBlocks);
  bits.set(kPageBlocks - 2);
  EXPECT_EQ(bits.dirty_count(), 3U);
  EXPECT_THAT(runs_of(bits), ElementsAre(BlockRun{kPageBlocks - 2, 3}));
  EXPECT_EQ(bits.next_dirty(0, 1), (BlockRun{kPageBlocks - 2, 1}));
  EXPECT_EQ(bits.next_dirty(kPageBlocks - 1), (BlockRun{kPageBlocks - 1, 2}));
}

TEST(DirtyBitmap, EqualityDoesNotDependOnHowABitmapCameAbout) {
  DirtyBitmap few(kPageBlocks), many(kPageBlocks);
  for (std::uint64_t i = 0; i < 20; ++i) few.set(i * 5);
  for (std::uint64_t i = 0; i < 60; ++i) many.set(i * 5);
  many.clear({100, 1000});
  EXPECT_TRUE(few == many);
  EXPECT_TRUE(many == few);
  many.clear({0, 1});
  many.set(1);
  EXPECT_FALSE(few == many);
  EXPECT_FALSE(many == few);
}

TEST(DirtyBitmap, MemoryOfManyLeavesIsGivenBackWhenAllIsClear) {
  DirtyBitmap bits(1000 * kPageBlocks);
  for (std::uint64_t page = 0; page < 1000; ++page)
    bits.set(BlockRun{page * kPageBlocks + page, 33});  // more than a list holds
  EXPECT_GT(bits.memory_bytes(), 1000U * 4096);
  bits.clear({0, 999 * kPageBlocks});
  EXPECT_THAT(runs_of(bits), ElementsAre(BlockRun{999 * kPageBlocks + 999, 33}));
  bits.clear_all();
  EXPECT_LT(bits.memory_bytes(), 1U << 20);
}

TEST(DirtyBitmap, BitsBeyondTheEndStayClear) {
  DirtyBitmap bits(100);
  bits.set_all();
  bits.clear({0, 1});
  PageWords words = *bits.take_changed().at(0).words;
  EXPECT_EQ(words[1], (std::uint64_t{1} << 36) - 1);
  EXPECT_EQ(words[2], 0U);

  words.fill(~std::uint64_t{0});
  words[0] = 1;
  bits.load_page(0, words);
  EXPECT_EQ(bits.dirty_count(), 37U);
  EXPECT_THAT(runs_of(bits), ElementsAre(BlockRun{0, 1}, BlockRun{64, 36}));
}

TEST(DirtyBitmap, ARunMayCrossWordsAndPages) {
  DirtyBitmap bits(4 * kPageBlocks);
  bits.set(BlockRun{kPageBlocks - 1, kPageBlocks + 66});
  EXPECT_THAT(runs_of(bits), ElementsAre(BlockRun{kPageBlocks - 1, kPageBlocks + 66}));
  bits.clear({kPageBlocks + 63, 2});
  EXPECT_THAT(runs_of(bits), ElementsAre(BlockRun{kPageBlocks - 1, 64}, BlockRun{kPageBlocks + 65, kPageBlocks}));
  EXPECT_EQ(bits.count({kPageBlocks, 64}), 63U);
}

TEST(DirtyBitmap, NextRunIsCutToTheMaximum) {
  DirtyBitmap bits(3 * kPageBlocks);
  bits.set(BlockRun{100, 2 * kPageBlocks});
  EXPECT_EQ(bits.next_dirty(0, 1), (BlockRun{100, 1}));
  EXPECT_EQ(bits.next_dirty(0, 64), (BlockRun{100, 64}));
  EXPECT_EQ(bits.next_dirty(50'000, kPageBlocks), (BlockRun{50'000, 2 * kPageBlocks + 100 - 50'000}));
  EXPECT_EQ(bits.next_dirty(2 * kPageBlocks + 100), std::nullopt);
}

TEST(DirtyBitmap, NothingIsDirtyAtOrAfterTheEnd) {
  DirtyBitmap bits(100);
  bits.set_all();
  EXPECT_EQ(bits.next_dirty(99), (BlockRun{99, 1}));
  EXPECT_EQ(bits.next_dirty(100), std::nullopt);
}

TEST(DirtyBitmap, OnlyPagesWhoseBitsChangedAreMarked) {
  DirtyBitmap bits(4 * kPageBlocks);
  bits.set(7);
  bits.set(BlockRun{2 * kPageBlocks, kPageBlocks});
  EXPECT_THAT(pages_of(bits.take_changed()), ElementsAre(0, 2));

  bits.set(7);
  bits.set(BlockRun{7, 1});
  bits.set(BlockRun{2 * kPageBlocks + 5, 100});
  bits.clear({8, 1000});
  bits.clear({3 * kPageBlocks, kPageBlocks});
  bits.merge(bits.clone());
  bits.intersect(bits.clone());
  bits.subtract(DirtyBitmap(4 * kPageBlocks));
  EXPECT_EQ(bits.changed_count(), 0U);
  bits.clear({7, 1});
  EXPECT_EQ(bits.changed_count(), 1U);
}

TEST(DirtyBitmap, ABitThatIsSetAndClearedAgainIsAChangeAllTheSame) {
  DirtyBitmap bits(kPageBlocks);
  bits.set(9);
  bits.clear({9, 1});
  const auto images = bits.take_changed();
  ASSERT_EQ(images.size(), 1U);
  EXPECT_EQ(images[0].state, PageState::kClear);
  EXPECT_EQ(images[0].words, nullptr);
}

TEST(DirtyBitmap, ChangedPagesAreTakenOnceInOrderAndInParts) {
  DirtyBitmap bits(200 * kPageBlocks);
  for (const std::uint64_t page : {150, 3, 64, 63}) bits.set(page * kPageBlocks);
  EXPECT_EQ(bits.changed_count(), 4U);
  EXPECT_THAT(pages_of(bits.take_changed(3)), ElementsAre(3, 63, 64));
  EXPECT_EQ(bits.changed_count(), 1U);
  EXPECT_THAT(pages_of(bits.take_changed(0)), IsEmpty());
  EXPECT_THAT(pages_of(bits.take_changed(3)), ElementsAre(150));
  EXPECT_THAT(bits.take_changed(), IsEmpty());
}

TEST(DirtyBitmap, AnImageIsOfItsInstant) {
  DirtyBitmap bits(kPageBlocks);
  bits.set(1);
  const auto images = bits.take_changed();
  bits.set(2);
  EXPECT_EQ((*images.at(0).words)[0], 2U);
  EXPECT_EQ(bits.changed_count(), 1U);
}

TEST(DirtyBitmap, ALoadedPageKeepsItsMark) {
  DirtyBitmap bits(2 * kPageBlocks);
  bits.set(kPageBlocks);
  PageWords words{};
  words[5] = 3;
  bits.load_page(0, words);
  bits.load_page(1, words);
  EXPECT_THAT(runs_of(bits), ElementsAre(BlockRun{320, 2}, BlockRun{kPageBlocks + 320, 2}));
  EXPECT_THAT(pages_of(bits.take_changed()), ElementsAre(1));
}

TEST(DirtyBitmap, AUniformPageThatIsLoadedTakesNoLeaf) {
  DirtyBitmap bits(2 * kPageBlocks);
  PageWords words;
  words.fill(~std::uint64_t{0});
  bits.load_page(0, words);
  EXPECT_EQ(bits.page_state(0), PageState::kSet);
  words.fill(0);
  bits.load_page(0, words);
  EXPECT_EQ(bits.page_state(0), PageState::kClear);
  EXPECT_EQ(bits.dirty_count(), 0U);
}

TEST(DirtyBitmap, MarksCanBePutOnAllAndTakenOffAll) {
  DirtyBitmap bits(130 * kPageBlocks);
  bits.mark_all_changed();
  EXPECT_EQ(bits.changed_count(), 130U);
  EXPECT_EQ(bits.take_changed().size(), 130U);
  bits.set_all();
  bits.mark_none_changed();
  EXPECT_EQ(bits.changed_count(), 0U);
  EXPECT_THAT(bits.take_changed(), IsEmpty());
}

TEST(DirtyBitmap, ACloneHasTheSameBitsAndMarksAndItsOwnLeaves) {
  DirtyBitmap bits(3 * kPageBlocks);
  bits.set(5);
  bits.set(BlockRun{kPageBlocks, kPageBlocks});
  (void)bits.take_changed(1);
  auto copy = bits.clone();
  EXPECT_TRUE(copy == bits);
  copy.set(6);
  EXPECT_FALSE(bits.test(6));
  EXPECT_FALSE(copy == bits);
  EXPECT_THAT(pages_of(bits.take_changed()), ElementsAre(1));
  EXPECT_THAT(pages_of(copy.take_changed()), ElementsAre(0, 1));
}

TEST(DirtyBitmap, EqualityIsOfBitsNotOfCountsOrMarks) {
  DirtyBitmap a(kPageBlocks), b(kPageBlocks);
  a.set(1);
  b.set(2);
  EXPECT_FALSE(a == b);
  b.clear({2, 1});
  b.set(1);
  b.mark_none_changed();
  EXPECT_TRUE(a == b);
  EXPECT_FALSE(a == DirtyBitmap(kPageBlocks + 1));
  a.set(BlockRun{100, 50});
  b.set(BlockRun{101, 50});
  EXPECT_FALSE(a == b);
}

TEST(DirtyBitmap, OperationsWithItself) {
  DirtyBitmap bits(2 * kPageBlocks);
  bits.set(BlockRun{10, kPageBlocks});
  bits.merge(bits);
  bits.intersect(bits);
  EXPECT_THAT(runs_of(bits), ElementsAre(BlockRun{10, kPageBlocks}));
  bits.subtract(bits);
  EXPECT_EQ(bits.dirty_count(), 0U);
}

TEST(DirtyBitmap, CoarserBlocksAreRoundedOutward) {
  DirtyBitmap bits(10);
  bits.set(3);
  bits.set(9);
  EXPECT_THAT(runs_of(bits.with_block_bytes(4096, 8192, 10 * 4096 - 100)), ElementsAre(BlockRun{1, 1}, BlockRun{4, 1}));
}

TEST(DirtyBitmap, FinerBlocksEndWithTheVolume) {
  DirtyBitmap bits(3);
  bits.set(2);
  const auto finer = bits.with_block_bytes(16384, 4096, 2 * 16384 + 4097);
  EXPECT_EQ(finer.block_count(), 10U);
  EXPECT_THAT(runs_of(finer), ElementsAre(BlockRun{8, 2}));
}

TEST(DirtyBitmap, GrowthMayBeDirtyOrClean) {
  for (const std::uint64_t old : {std::uint64_t{100}, kPageBlocks - 1, kPageBlocks, kPageBlocks + 1}) {
    DirtyBitmap bits(old);
    bits.set_all();
    auto dirty = bits.clone();
    bits.resize(old + kPageBlocks, false);
    EXPECT_THAT(runs_of(bits), ElementsAre(BlockRun{0, old}));
    dirty.resize(old + kPageBlocks, true);
    EXPECT_TRUE(dirty.all({0, old + kPageBlocks}));
    EXPECT_EQ(dirty.page_state(0), PageState::kSet);
  }
}

TEST(DirtyBitmap, ShrinkingForgetsWhatLiesBeyond) {
  DirtyBitmap bits(3 * kPageBlocks);
  bits.set_all();
  bits.resize(kPageBlocks + 10, true);
  EXPECT_EQ(bits.dirty_count(), kPageBlocks + 10);
  EXPECT_EQ(bits.page_count(), 2U);
  EXPECT_EQ(bits.page_state(1), PageState::kSet);
  EXPECT_EQ(bits.take_changed().back().page, 1U);
  bits.resize(3 * kPageBlocks, false);
  EXPECT_EQ(bits.dirty_count(), kPageBlocks + 10);
  bits.resize(0, true);
  EXPECT_EQ(bits.dirty_count(), 0U);
}

TEST(BlockRuns, CoveringIsRoundedOutward) {
  EXPECT_EQ(blocks_covering(4095, 2, 4096), (BlockRun{0, 2}));
  EXPECT_EQ(blocks_covering(4096, 4096, 4096), (BlockRun{1, 1}));
  EXPECT_EQ(blocks_covering(5000, 0, 4096).count, 0U);
}

TEST(BlockRuns, WithinIsRoundedInwardAndKeepsTheVolumesShortLastBlock) {
  EXPECT_EQ(blocks_within(4095, 4097, 4096, 1 << 20), (BlockRun{1, 1}));
  EXPECT_EQ(blocks_within(4097, 4096, 4096, 1 << 20).count, 0U);
  EXPECT_EQ(blocks_within(4096, 4097, 4096, 8193), (BlockRun{1, 2}));
  EXPECT_EQ(blocks_within(1, 100, 4096, 101).count, 0U);
}

}  // namespace
}  // namespace drseed::bitmap
