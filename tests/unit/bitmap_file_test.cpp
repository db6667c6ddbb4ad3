#include "bitmap/bitmap_file.h"

#include <gtest/gtest.h>

#include "tests/unit/bitmap_test_support.h"

namespace drseed::bitmap {
namespace {

constexpr SlotId kSlot{1};

TEST(BitmapFile, ReadsBackWhatWasSaved) {
  const auto info = info_of(3 * kPageBlocks + 100);
  const auto disk = new_file(info, state_with({0, 1}));
  {
    auto file = open_on(*disk);
    ASSERT_TRUE(file);
    EXPECT_EQ(file->info(), info);
    EXPECT_EQ(file->state(), state_with({0, 1}));
    DirtyBitmap bits(info.block_count());
    bits.set({5, 3});
    bits.set({kPageBlocks, kPageBlocks});
    bits.set(3 * kPageBlocks + 99);
    ASSERT_TRUE(file->save(kSlot, bits.take_changed()));
    ASSERT_TRUE(file->commit_log(std::array<RegionIndex, 2>{4, 9}));
    auto state = file->state();
    state.in_service = true;
    state.slots[1].base_sequence = 77;
    state.slots[1].flags = kSlotInvalid;
    ASSERT_TRUE(file->commit_state(state));
  }
  auto file = open_on(*disk);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->damage().empty());
  EXPECT_TRUE(file->state().in_service);
  EXPECT_EQ(file->state().slots[1].base_sequence, 77U);
  EXPECT_EQ(file->logged_regions(), (std::vector<RegionIndex>{4, 9}));
  auto bits = file->load(kSlot);
  EXPECT_EQ(bits.dirty_count(), 3 + kPageBlocks + 1);
  EXPECT_TRUE(bits.test(7) && !bits.test(8) && bits.test(3 * kPageBlocks + 99));
  EXPECT_EQ(bits.changed_count(), 0U);
  EXPECT_EQ(file->load(SlotId{0}).dirty_count(), 0U);
  file->add_logged(bits);
  EXPECT_TRUE(bits.test(8) && bits.test(9) && bits.test(18) && bits.test(19) && !bits.test(10));
  EXPECT_TRUE(file->damage().empty());
}

// Its writes are in the page cache only; the next process reads them there.
TEST(BitmapFile, WhatIsReadAfterAKillSurvivesALossOfPower) {
  const auto disk = new_file(info_of(100), state_with({1}));
  std::vector<std::uint8_t> before(disk->size_bytes()), after(disk->size_bytes());
  disk->read(0, before);
  ASSERT_TRUE(open_on(*disk)->commit_log(std::array<RegionIndex, 1>{3}));
  disk->read(0, after);
  sim::CrashDisk cached(disk->size_bytes());
  ASSERT_TRUE(cached.write(0, before) && cached.sync() && cached.write(0, after));

  ASSERT_EQ(open_on(cached)->logged_regions(), std::vector<RegionIndex>{3}) << "writes to it start without a commit";
  const auto lose_what_is_not_synced = [] { return 0U; };
  cached.crash(lose_what_is_not_synced);
  EXPECT_EQ(open_on(cached)->logged_regions(), std::vector<RegionIndex>{3});
}

TEST(BitmapFile, ResetSlotIsWhollyClearOrSet) {
  const auto info = info_of(2 * kPageBlocks + 1);
  const auto disk = new_file(info, state_with({1}));
  auto file = open_on(*disk);
  DirtyBitmap bits(info.block_count());
  bits.set(1);
  ASSERT_TRUE(file->save(kSlot, bits.take_changed()));
  ASSERT_TRUE(file->reset(kSlot, true));
  EXPECT_EQ(open_on(*disk)->load(kSlot).dirty_count(), info.block_count());
  ASSERT_TRUE(file->reset(kSlot, false));
  EXPECT_EQ(open_on(*disk)->load(kSlot).dirty_count(), 0U);
}

TEST(BitmapFile, SlotThatWasNeverSetUpReadsAsAllDirty) {
  const auto disk = new_file(info_of(100), state_with({1}));
  EXPECT_EQ(open_on(*disk)->load(SlotId{2}).dirty_count(), 100U);
}

TEST(BitmapFile, FailedWriteFailsTheFileForGood) {
  const auto info = info_of(100);
  const auto disk = new_file(info, state_with({1}));
  auto file = open_on(*disk);
  ASSERT_TRUE(file);
  DirtyBitmap bits(info.block_count());
  bits.set(1);
  disk->fail_after(0);
  EXPECT_FALSE(file->save(kSlot, bits.take_changed()));
  std::mt19937_64 random(1);
  disk->crash(random);
  EXPECT_FALSE(file->commit_log({}));
  EXPECT_FALSE(file->commit_state(state_with({1})));
}

TEST(BitmapFile, UnequalCopiesOfATableAreMadeEqualByTheNextSave) {
  const auto info = info_of(100);
  const auto disk = new_file(info, state_with({1}));
  const Layout layout(info);
  std::vector<std::uint8_t> before(kSectorBytes);
  disk->read(layout.table(kSlot, 0, 0), before);
  {
    auto file = open_on(*disk);
    DirtyBitmap bits(info.block_count());
    bits.set(7);
    ASSERT_TRUE(file->save(kSlot, bits.take_changed()));
  }
  // As if the power had failed between the two copies.
  ASSERT_TRUE(disk->write(layout.table(kSlot, 0, 0), before) && disk->sync());
  auto file = open_on(*disk);
  auto bits = file->load(kSlot);
  EXPECT_TRUE(bits.test(7));
  EXPECT_EQ(file->damage().size(), 1U);
  bits.set(8);
  ASSERT_TRUE(file->save(kSlot, bits.take_changed()));
  auto again = open_on(*disk);
  EXPECT_EQ(again->load(kSlot), bits);
  EXPECT_TRUE(again->damage().empty());
}

// Saves a page's table entry before the page itself: a wrong BitmapFile::save, made of a store that reorders for it.
class TableFirstStore : public sim::CrashStore {
 public:
  TableFirstStore(sim::CrashDisk& disk, const FileInfo& info)
      : CrashStore(disk), pages_begin_(Layout(info).page(kSlot, 0)) {}
  Result<> write(std::uint64_t offset, std::span<const std::uint8_t> bytes) override {
    if (offset >= pages_begin_ && offset < pages_begin_ + 4 * kPageBytes) {
      held_.emplace_back(offset, std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
      return {};
    }
    return CrashStore::write(offset, bytes);
  }
  Result<> sync() override {
    DRSEED_TRY(CrashStore::sync());
    // What was held is written after the sync that follows it, so with the one after that.
    for (const auto& [offset, bytes] : std::exchange(ready_, std::exchange(held_, {})))
      DRSEED_TRY(CrashStore::write(offset, bytes));
    return {};
  }

 private:
  std::uint64_t pages_begin_;
  std::vector<std::pair<std::uint64_t, std::vector<std::uint8_t>>> held_, ready_;
};

// Random saves until the power fails. True if what is read afterwards lacks a bit that was durable and still wanted.
bool loses_a_bit(std::uint64_t seed, bool table_first) {
  std::mt19937_64 random(seed);
  const auto info = info_of(2 * kPageBlocks + 200);
  const auto disk = new_file(info, state_with({1}));
  std::unique_ptr<BitmapStore> store;
  if (table_first) store = std::make_unique<TableFirstStore>(*disk, info);
  if (!table_first) store = std::make_unique<sim::CrashStore>(*disk);
  auto file = BitmapFile::open(std::move(store));
  DirtyBitmap bits(info.block_count());
  auto durable = bits.clone();
  disk->fail_after(1 + random() % 40);
  while (!disk->failed()) {
    for (auto changes = random() % 4; changes > 0; --changes) {
      const auto first = random() % 4 == 0 ? 0 : random() % info.block_count();
      const auto length = random() % 3 == 0 ? kPageBlocks : 1 + random() % 70;
      const BlockRun run{first, std::min(length, info.block_count() - first)};
      if (random() % 2 == 0) bits.set(run);
      if (random() % 3 == 0) bits.clear(run);
      if (random() % 8 == 0) bits.clear_all();
    }
    if (!file->save(kSlot, bits.take_changed())) break;
    durable = bits.clone();
  }
  disk->crash(random);
  durable.intersect(bits);
  return !contains(open_on(*disk)->load(kSlot), durable);
}

TEST(BitmapFileCrash, NoDurableBitIsLostWhereverASaveIsCut) {
  for (std::uint64_t seed = 0; seed < 20000; ++seed) ASSERT_FALSE(loses_a_bit(seed, false)) << "seed " << seed;
}

TEST(BitmapFileCrash, TableBeforeItsPageIsCaught) {
  std::uint64_t seed = 0;
  while (seed < 2000 && !loses_a_bit(seed, true)) ++seed;
  EXPECT_LT(seed, 2000U);
}

TEST(BitmapFileCrash, StateRecordIsTheOldOrTheNewOne) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    std::mt19937_64 random(seed);
    const auto disk = new_file(info_of(100), state_with({1}));
    auto file = open_on(*disk);
    disk->fail_after(1 + random() % 20);
    auto state = file->state();
    std::uint64_t durable = state.sequence_low;
    while (!disk->failed()) {
      state.sequence_high = ++state.sequence_low;
      state.engine.assign(random() % 3000, static_cast<std::uint8_t>(state.sequence_low));
      if (file->commit_state(state)) durable = state.sequence_low;
    }
    disk->crash(random);
    const auto after = open_on(*disk);
    ASSERT_TRUE(after) << "seed " << seed;
    ASSERT_GE(after->state().sequence_low, durable) << "seed " << seed;
    ASSERT_LE(after->state().sequence_low, state.sequence_low);
    ASSERT_TRUE(std::all_of(after->state().engine.begin(), after->state().engine.end(), [&](std::uint8_t byte) {
      return byte == static_cast<std::uint8_t>(after->state().sequence_low) || after->state().sequence_low == 41;
    }));
  }
}

}  // namespace
}  // namespace drseed::bitmap
