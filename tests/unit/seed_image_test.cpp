// Whole images: written, split, read by index and as a stream.

#include "seed_image_test_support.h"

namespace drseed::seed {
namespace {

// ---- what is written is read ----

TEST(SeedImage, DisksOfAllShapesAreReadBack) {
  const TempFolder folder;
  for (const auto* plan : {"r", "0", "0000", "rrrr", "0rt0", "rt00", "00rt", "r0000t", "t0t0t0", "000000000r"}) {
    for (const std::size_t tail : {std::size_t{kSegment}, std::size_t{1}, std::size_t{kSegment - 1}}) {
      for (auto codec : {Codec::kZstd, Codec::kGzip, Codec::kNone}) {
        const auto disk = make_disk(plan, tail);
        write_image(make_header(disk, codec), disk, folder / "image");
        SCOPED_TRACE(fmt::format("{} {} {}", plan, tail, name_of(codec)));
        expect_perfect(folder / "image", disk);
      }
    }
  }
}

TEST(SeedImage, OddSizesAreReadBack) {
  const TempFolder folder;
  for (const std::size_t size : {1, 511, 512, 513, 65535, 65536, 65537, 131073}) {
    const auto disk = make_disk("rr", kSegment).substr(0, size) + make_disk("r", size > 131072 ? size - 131072 : 0);
    ASSERT_EQ(disk.size(), size);
    write_image(make_header(disk), disk, folder / "image");
    SCOPED_TRACE(size);
    expect_perfect(folder / "image", disk);
    const std::string zeros(size, '\0');
    write_image(make_header(zeros), zeros, folder / "image");
    expect_perfect(folder / "image", zeros);
  }
}

TEST(SeedImage, UnreadableSectorsAreDelivered) {
  const TempFolder folder;
  const auto disk = make_disk("0r0");
  auto writer = ImageWriter::create(make_header(disk, Codec::kNone), folder / "image").value();
  const auto plain = as_bytes(disk).subspan(kSegment, kSegment);
  const std::vector<Range> unreadable{{kSegment, 512}, {kSegment + 8192, 4096}};
  ASSERT_TRUE(writer->add_zeros(kSegment));
  ASSERT_TRUE(writer->add_data({kSegment, sha256(plain), xxh128(plain), plain, unreadable}));
  ASSERT_TRUE(writer->add_zeros(kSegment));
  ASSERT_TRUE(writer->finish(std::nullopt, std::nullopt));
  expect_perfect(folder / "image", disk);
  for (const bool with_payload : {true, false}) {
    ImageReadOptions options;
    options.with_payload = with_payload;
    auto image = ImageReader::open(folder / "image", options).value();
    image->set_buffers(2);
    ASSERT_TRUE(image->next());
    EXPECT_EQ(image->next().value()->unreadable, unreadable);
  }
}

TEST(SeedImage, MerkleRootIsTheSameForEveryCodecAndSplit) {
  const TempFolder folder;
  const auto disk = make_disk("r0tr0t", 1000);
  std::set<Digest256> roots;
  for (auto codec : {Codec::kZstd, Codec::kGzip, Codec::kNone}) {
    for (const std::uint64_t volume_bytes : {0, 250'000}) {
      write_image(make_header(disk, codec, volume_bytes), disk, folder / "image");
      auto image = ImageReader::open(volume_path(folder / "image", volume_bytes, 1), {}).value();
      auto report = verify_image(*image, quiet());
      ASSERT_TRUE(report) << report.error().message();
      EXPECT_TRUE(report->good());
      ASSERT_TRUE(report->merkle_root);
      roots.insert(*report->merkle_root);
    }
  }
  EXPECT_EQ(roots.size(), 1U);
}

// A scan reads a segment to know of the zeros before it, and keeps it.
TEST(SeedImage, AReaderThatIsLeftEarlyGivesItsBuffersBack) {
  const TempFolder folder;
  const auto disk = make_disk("0r0r");
  write_image(make_header(disk), disk, folder / "image");
  for (auto way : {Way::kIndexed, Way::kStream}) {
    auto image = open_image(folder / "image", way).value();
    image->set_buffers(2);
    EXPECT_EQ(image->next().value()->kind, StoredSegment::Kind::kZeros);
  }
}

// ---- volumes ----

class SplitImage : public testing::Test {
 protected:
  SplitImage() {
    write_image(make_header(disk_, Codec::kNone, kVolume), disk_, folder_ / "image");
    while (fs::exists(volume(count_ + 1))) ++count_;
  }
  std::string volume(std::uint32_t number) const { return volume_path(folder_ / "image", 1, number); }
  // All volumes one after the other, as from a pipe.
  std::string joined() const {
    std::string all;
    for (std::uint32_t number = 1; number <= count_; ++number) all += content_of(volume(number));
    return all;
  }

  const TempFolder folder_;
  const std::string disk_ = make_disk("r0r00rr0r0", 777);
  std::uint32_t count_ = 0;
};

TEST_F(SplitImage, EveryVolumeKeepsToItsSize) {
  ASSERT_GE(count_, 4U);
  for (std::uint32_t number = 1; number <= count_; ++number) EXPECT_LE(fs::file_size(volume(number)), kVolume);
}

TEST_F(SplitImage, AnyVolumeOpensTheImageWhateverTheFilesAreCalled) {
  for (std::uint32_t number = 1; number <= count_; ++number)
    EXPECT_TRUE(read_back(volume(number), Way::kIndexed, disk_).perfect()) << number;
  EXPECT_TRUE(read_back(folder_ / "image", Way::kIndexed, disk_).perfect());
  for (std::uint32_t number = 1; number <= count_; ++number)
    fs::rename(volume(number), folder_ / std::to_string(99 - number));
  EXPECT_TRUE(read_back(folder_ / "97", Way::kIndexed, disk_).perfect());
}

TEST_F(SplitImage, VolumesInOtherFoldersAreFoundWhenNamed) {
  const TempFolder other;
  fs::rename(volume(2), other / "two");
  ImageReadOptions options;
  EXPECT_FALSE(ImageReader::open(volume(1), options));
  options.more_volumes = {other.path()};
  EXPECT_TRUE(ImageReader::open(volume(1), options));
  options.more_volumes = {other / "two"};
  EXPECT_TRUE(ImageReader::open(volume(1), options));
}

TEST_F(SplitImage, AMissingVolumeIsReportedAndTheOthersAreRead) {
  const TempFolder away;
  for (std::uint32_t number = 1; number <= count_; ++number) {
    fs::rename(volume(number), away / "volume");
    const auto present = volume(number == 1 ? 2 : 1);
    EXPECT_FALSE(ImageReader::open(present, {})) << number;
    const auto read = read_back(present, Way::kIndexed, disk_);
    EXPECT_FALSE(read.error) << describe(read);
    EXPECT_FALSE(read.problems.empty()) << number;
    EXPECT_EQ(read.lost.size(), 1U) << number << ": " << describe(read);
    EXPECT_TRUE(read.wrong.empty());
    fs::rename(away / "volume", volume(number));
  }
}

TEST_F(SplitImage, DuplicatesOfAVolumeDoNoHarm) {
  fs::copy(volume(2), folder_ / "a copy");
  fs::copy(volume(1), folder_ / "z copy");
  EXPECT_TRUE(read_back(volume(1), Way::kIndexed, disk_).perfect());
}

TEST_F(SplitImage, VolumesOfOtherImagesBesideItAreLeftAlone) {
  auto header = make_header(disk_, Codec::kNone, kVolume);
  header.image_id.bytes.fill(8);
  write_image(header, disk_, folder_ / "another");
  write_file(folder_ / "garbage", "not an image");
  write_file(folder_ / "empty", "");
  EXPECT_TRUE(read_back(volume(1), Way::kIndexed, disk_).perfect());
}

TEST_F(SplitImage, AVolumeWithADamagedHeaderIsFoundByItsTrailer) {
  auto bytes = content_of(volume(2));
  bytes[600] ^= 1;
  write_file(volume(2), bytes);
  const auto read = read_back(volume(1), Way::kIndexed, disk_);
  EXPECT_FALSE(read.problems.empty());
  EXPECT_TRUE(read.lost.empty()) << describe(read);
  EXPECT_TRUE(read.whole && read.wrong.empty());
}

TEST_F(SplitImage, VolumesOneAfterTheOtherAreAStream) {
  write_file(folder_ / "stream", joined());
  EXPECT_TRUE(read_back(folder_ / "stream", Way::kStream, disk_).perfect());
}

TEST_F(SplitImage, AStreamWithoutAVolumeOrInAnotherOrderIsReported) {
  for (std::uint32_t left_out = 1; left_out <= count_; ++left_out) {
    std::string without;
    for (std::uint32_t number = 1; number <= count_; ++number) {
      if (number != left_out) without += content_of(volume(number));
    }
    write_file(folder_ / "stream", without);
    const auto read = read_back(folder_ / "stream", Way::kStream, disk_);
    EXPECT_TRUE(read.reported() && read.wrong.empty()) << left_out << ": " << describe(read);
  }
  write_file(folder_ / "stream", content_of(volume(2)) + content_of(volume(1)) + content_of(volume(3)));
  EXPECT_TRUE(read_back(folder_ / "stream", Way::kStream, disk_).reported());
  write_file(folder_ / "stream", joined() + "more");
  EXPECT_TRUE(read_back(folder_ / "stream", Way::kStream, disk_).reported());
}

// Buffers are made for the first volume's segments.
TEST_F(SplitImage, AStreamWhoseNextVolumeHasLargerSegmentsIsRefused) {
  auto header = make_header(disk_, Codec::kNone, 600'000);
  header.segment_bytes = 4 * kSegment;
  write_image(header, disk_, folder_ / "larger");
  write_file(folder_ / "stream", content_of(volume(1)) + content_of(folder_ / "larger.002"));
  for (int round = 0; round < 2; ++round) {
    auto image = open_image(folder_ / "stream", Way::kStream).value();
    const auto report = verify_image(*image, quiet());
    EXPECT_FALSE(report && report->good());
  }
}

TEST_F(SplitImage, AnyFlippedBitInALaterVolumeIsFound) {
  const auto good = content_of(volume(count_));
  std::mt19937_64 random(5);
  for (std::size_t at = 0; at < good.size(); at += 1 + random() % 300) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1 << random() % 8);
    write_file(volume(count_), bad);
    const auto read = read_back(volume(1), Way::kIndexed, disk_);
    EXPECT_TRUE(read.reported() && read.wrong.empty()) << "byte " << at << ": " << describe(read);
  }
}

}  // namespace
}  // namespace drseed::seed
