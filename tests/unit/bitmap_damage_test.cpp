// Whatever happens to the bytes of a bitmap file, reading it is an error or finds more dirt, never less.

#include <gtest/gtest.h>

#include <xxhash.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "tests/unit/bitmap_test_support.h"

namespace drseed::bitmap {
namespace {

constexpr SlotId kSlot{1};

// A file as plain bytes, for damage anywhere.
class ByteStore : public BitmapStore {
 public:
  explicit ByteStore(std::vector<std::uint8_t>& bytes) : bytes_(bytes) {}
  std::string name() const override { return "bytes"; }
  Result<std::uint64_t> size_bytes() override { return bytes_.size(); }
  Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
    if (offset + out.size() > bytes_.size()) return fail(ErrorCode::kEnvironment, "beyond the end");
    if (unreadable_ >= offset && unreadable_ < offset + out.size()) return fail(ErrorCode::kEnvironment, "bad sector");
    std::memcpy(out.data(), &bytes_[offset], out.size());
    return {};
  }
  Result<> write(std::uint64_t offset, std::span<const std::uint8_t> in) override {
    std::memcpy(&bytes_[offset], in.data(), in.size());
    return {};
  }
  Result<> sync() override { return {}; }
  void make_unreadable(std::uint64_t offset) { unreadable_ = offset; }

 private:
  std::vector<std::uint8_t>& bytes_;
  std::uint64_t unreadable_ = ~std::uint64_t{0};
};

struct Sample {
  FileInfo info = info_of(5000);
  StateRecord state = state_with({1});
  std::vector<std::uint8_t> bytes;
  std::optional<DirtyBitmap> dirty;  // with the log's regions

  Sample() : bytes(Layout(info).file_bytes()) {
    ByteStore store(bytes);
    EXPECT_TRUE(BitmapFile::format(store, info, state));
    auto file = open();
    DirtyBitmap bits(info.block_count());
    for (const auto block : {0, 1, 63, 64, 2000, 3647, 3648, 4999}) bits.set(static_cast<std::uint64_t>(block));
    EXPECT_TRUE(file->save(kSlot, bits.take_changed()));
    EXPECT_TRUE(file->commit_log(std::array<RegionIndex, 3>{3, 50, 2499}));
    EXPECT_TRUE(file->commit_state(state));
    file->add_logged(bits);
    dirty = std::move(bits);
  }
  Result<BitmapFile> open() { return BitmapFile::open(std::make_unique<ByteStore>(bytes)); }

  // What is wrong with what the bytes now read as; empty: an error, or at least the dirt there was.
  std::string wrong() {
    auto file = open();
    if (!file) return file.error().code == ErrorCode::kDiffers ? "" : "an error of the wrong kind";
    if (file->state() != state) return "another state record";
    auto bits = file->load(kSlot);
    file->add_logged(bits);
    if (!contains(bits, *dirty)) return "less dirt";
    const bool more = bits != *dirty;
    return more && file->damage().empty() ? "more dirt, silently" : "";
  }
  std::set<std::uint64_t> written_sectors() const {
    std::set<std::uint64_t> sectors;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] != 0) sectors.insert(i / kSectorBytes);
    }
    return sectors;
  }
};

TEST(DamagedBitmapFile, AnyFlippedBitIsAnErrorOrMoreDirt) {
  Sample sample;
  ASSERT_EQ(sample.wrong(), "");
  const auto written = sample.written_sectors();
  ASSERT_GT(written.size(), 20U);
  std::size_t flips = 0;
  for (std::size_t sector = 0; sector < sample.bytes.size() / kSectorBytes; ++sector) {
    // Every bit of what is used, one bit of each sector that is not.
    const std::size_t bits = written.contains(sector) ? kSectorBytes * 8 : 1;
    for (std::size_t bit = 0; bit < bits; ++bit, ++flips) {
      auto& byte = sample.bytes[sector * kSectorBytes + bit / 8];
      const auto mask = static_cast<std::uint8_t>(1 << bit % 8);
      byte ^= mask;
      ASSERT_EQ(sample.wrong(), "") << "sector " << sector << " bit " << bit;
      byte ^= mask;
    }
  }
  EXPECT_GT(flips, 80000U);
}

TEST(DamagedBitmapFile, AnySectorOfZerosNoiseOrAnotherSectorIsAnErrorOrMoreDirt) {
  Sample sample;
  const auto original = sample.bytes;
  const auto written = sample.written_sectors();
  std::mt19937_64 random(3);
  for (const auto sector : written) {
    const auto at = sample.bytes.begin() + static_cast<std::ptrdiff_t>(sector * kSectorBytes);
    std::fill_n(at, kSectorBytes, 0);
    ASSERT_EQ(sample.wrong(), "") << "zeros in sector " << sector;
    for (std::size_t i = 0; i < kSectorBytes; ++i)
      at[static_cast<std::ptrdiff_t>(i)] = static_cast<std::uint8_t>(random());
    ASSERT_EQ(sample.wrong(), "") << "noise in sector " << sector;
    for (const auto other : written) {
      std::copy_n(original.begin() + static_cast<std::ptrdiff_t>(other * kSectorBytes), kSectorBytes, at);
      ASSERT_EQ(sample.wrong(), "") << "sector " << other << " in place of " << sector;
    }
    sample.bytes = original;
  }
}

TEST(DamagedBitmapFile, UnreadableSectorIsAnErrorOrMoreDirt) {
  Sample sample;
  for (const auto sector : sample.written_sectors()) {
    auto store = std::make_unique<ByteStore>(sample.bytes);
    store->make_unreadable(sector * kSectorBytes);
    auto file = BitmapFile::open(std::move(store));
    ASSERT_TRUE(file) << "sector " << sector << ": every place has a second one";
    auto bits = file->load(kSlot);
    file->add_logged(bits);
    ASSERT_TRUE(contains(bits, *sample.dirty)) << "sector " << sector;
    ASSERT_FALSE(file->damage().empty());
  }
}

TEST(DamagedBitmapFile, EveryTruncationAndEveryLongerFileIsAnError) {
  Sample sample;
  const auto original = sample.bytes;
  for (std::size_t size = 0; size < original.size(); size += size < 16384 ? 1 : 509) {
    sample.bytes.assign(original.begin(), original.begin() + static_cast<std::ptrdiff_t>(size));
    const auto file = sample.open();
    ASSERT_FALSE(file) << size;
    ASSERT_EQ(file.error().code, ErrorCode::kDiffers);
  }
  sample.bytes = original;
  sample.bytes.push_back(0);
  ASSERT_FALSE(sample.open());
}

TEST(DamagedBitmapFile, BothCopiesOfALogLostMakesAllDirty) {
  Sample sample;
  const Layout layout(sample.info);
  for (unsigned which = 0; which < 2; ++which) {
    for (unsigned copy = 0; copy < 2; ++copy) sample.bytes[layout.log(which, copy) + 70] ^= 1;
  }
  // The payload of the older, empty record ends before byte 70: make those unreadable by their headers.
  for (unsigned which = 0; which < 2; ++which) {
    for (unsigned copy = 0; copy < 2; ++copy) sample.bytes[layout.log(which, copy)] ^= 1;
  }
  auto file = sample.open();
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->log_lost());
  auto bits = file->load(kSlot);
  file->add_logged(bits);
  EXPECT_EQ(bits.dirty_count(), sample.info.block_count());
  ASSERT_TRUE(file->repair());
  file = sample.open();
  EXPECT_TRUE(file->damage().empty());
  EXPECT_FALSE(file->log_lost());
  EXPECT_EQ(file->load(kSlot).dirty_count(), sample.info.block_count());
}

TEST(DamagedBitmapFile, BothCopiesOfAStateRecordLostMakesAllDirty) {
  for (unsigned which = 0; which < 2; ++which) {
    Sample sample;
    const Layout layout(sample.info);
    for (unsigned copy = 0; copy < 2; ++copy) sample.bytes[layout.record(which, copy) + 9] ^= 1;
    auto file = sample.open();
    ASSERT_TRUE(file);
    EXPECT_TRUE(file->state_doubtful());
    EXPECT_EQ(file->load(kSlot).dirty_count(), sample.info.block_count());
    ASSERT_TRUE(file->repair());
    EXPECT_TRUE(sample.open()->damage().empty());
    EXPECT_EQ(sample.open()->load(kSlot).dirty_count(), sample.info.block_count());
  }
}

TEST(DamagedBitmapFile, BadSectorOfAPageDirtiesItsOwnBlocksOnly) {
  Sample sample;
  sample.bytes[Layout(sample.info).page(kSlot, 0) + 100] ^= 4;
  auto file = sample.open();
  const auto bits = file->load(kSlot);
  EXPECT_EQ(bits.count({0, kWordsPerSector * 64}), kWordsPerSector * 64);
  EXPECT_EQ(bits.count({kWordsPerSector * 64, 5000 - kWordsPerSector * 64}), 2U);
  ASSERT_EQ(file->damage().size(), 1U);
  EXPECT_EQ(file->damage()[0].what, "page");
  ASSERT_TRUE(file->repair());
  EXPECT_TRUE(sample.open()->damage().empty());
  EXPECT_EQ(sample.open()->load(kSlot), bits);
}

struct Field {
  const char* name;
  std::size_t offset;
  std::uint8_t value;
  const char* says;
};

class WrongHeader : public testing::TestWithParam<Field> {};

// A header with a right checksum and a wrong field.
TEST_P(WrongHeader, IsRefusedWithTheFieldsName) {
  Sample sample;
  HeaderSector header;
  std::memcpy(&header, sample.bytes.data(), sizeof header);
  reinterpret_cast<std::uint8_t*>(&header)[GetParam().offset] = GetParam().value;
  header.check = XXH3_64bits(&header, offsetof(HeaderSector, check));
  for (const auto offset : {std::uint64_t{0}, Layout::kHeaderCopy2})
    std::memcpy(&sample.bytes[offset], &header, sizeof header);
  const auto file = sample.open();
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kDiffers);
  EXPECT_NE(file.error().message().find(GetParam().says), std::string::npos) << file.error().message();
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongHeader,
    testing::Values(Field{"magic", 0, 'X', "not a drseed bitmap file"},
                    Field{"version", offsetof(HeaderSector, version), 9, "version 9"},
                    Field{"slots", offsetof(HeaderSector, slots), 5, "does not know"},
                    Field{"file_id", offsetof(HeaderSector, file_id), 5, "state record"},
                    Field{"volume_bytes", offsetof(HeaderSector, volume_bytes) + 7, 1, "volume size"},
                    Field{"volume_less", offsetof(HeaderSector, volume_bytes) + 4, 1, "bytes long"},
                    Field{"block_bytes", offsetof(HeaderSector, block_bytes), 1, "block size"},
                    Field{"region_bytes", offsetof(HeaderSector, region_bytes), 1, "region size"},
                    Field{"log_regions", offsetof(HeaderSector, log_regions), 1, "activity log"},
                    Field{"reserved", offsetof(HeaderSector, reserved), 1, "does not know"}),
    [](const auto& test) { return test.param.name; });

// The format cannot change by accident: a file of fixed content has this digest, and its parts lie where FORMAT.md
// says. After a change that is meant, raise kFormatVersion and put the new digest here.
TEST(BitmapFormat, IsTheOneOfTheGoldenFile) {
  Sample sample;
  const Layout layout(sample.info);
  EXPECT_EQ(layout.record(0, 0), 8192U);
  EXPECT_EQ(layout.log(0, 0), 8192U + 4 * 65536);
  EXPECT_EQ(layout.table(SlotId{0}, 0, 0), 8192U + 4 * 65536 + 4 * 4096);
  EXPECT_EQ(layout.file_bytes(), 8192U + 4 * 65536 + 4 * 4096 + 24 * 8192);
  // Only what is not zero is kept as a file: sector number, then the sector.
  std::vector<std::uint8_t> packed;
  for (const auto sector : sample.written_sectors()) {
    const ul64 number = sector;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&number);
    packed.insert(packed.end(), bytes, bytes + sizeof number);
    const auto at = sample.bytes.begin() + static_cast<std::ptrdiff_t>(sector * kSectorBytes);
    packed.insert(packed.end(), at, at + kSectorBytes);
  }
  const std::string path = std::string(DRSEED_GOLDEN_FOLDER) + "/bitmap.sectors";
  if (std::getenv("DRSEED_UPDATE_GOLDEN") != nullptr) {
    std::FILE* out = std::fopen(path.c_str(), "wb");
    ASSERT_NE(out, nullptr);
    EXPECT_EQ(std::fwrite(packed.data(), 1, packed.size(), out), packed.size());
    EXPECT_EQ(std::fclose(out), 0);
  }
  std::FILE* in = std::fopen(path.c_str(), "rb");
  ASSERT_NE(in, nullptr) << path;
  std::vector<std::uint8_t> golden(packed.size() + 1);
  golden.resize(std::fread(golden.data(), 1, golden.size(), in));
  std::fclose(in);
  EXPECT_EQ(packed, golden);
}

}  // namespace
}  // namespace drseed::bitmap
