// Whole images: written, split, read by index and as a stream, damaged in every way, lied about, cut and resumed.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "base/digest.h"
#include "base/file.h"
#include "seed/codec.h"
#include "seed/image_job.h"
#include "seed/image_reader.h"
#include "seed/image_writer.h"
#include "seed/json_seal.h"
#include "seed/segment_prover.h"
#include "seed/verify_job.h"

namespace drseed::seed {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::uint32_t kSegment = kSegmentBytesMin;
constexpr std::uint64_t kVolume = 100'000;  // holds one segment that does not compress

class TempFolder {
 public:
  TempFolder() : path_(testing::TempDir() + "drseed-image-" + to_string(random_id())) { fs::create_directories(path_); }
  ~TempFolder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good());
}

std::string content_of(const std::string& path) {
  return read_file(path, 64 << 20).value();
}

// One letter a segment: '0' zeros, 'r' random, 't' text that compresses well. The last segment has `tail` bytes.
std::string make_disk(std::string_view plan, std::size_t tail = kSegment) {
  std::string disk;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const std::size_t length = i + 1 == plan.size() ? tail : kSegment;
    std::mt19937_64 random(i * 31 + 1);
    for (std::size_t at = 0; at < length; ++at) {
      char byte = 0;
      if (plan[i] == 'r') byte = static_cast<char>(random());
      if (plan[i] == 't') byte = static_cast<char>('a' + (at / 97 + i) % 26);
      disk += byte;
    }
  }
  return disk;
}

ImageHeader make_header(const std::string& disk, Codec codec = Codec::kZstd, std::uint64_t volume_bytes = 0) {
  ImageHeader header;
  header.image_id.bytes.fill(7);
  header.created_seconds = 1700000000;
  header.writer = "test";
  header.disk_bytes = disk.size();
  header.segment_bytes = kSegment;
  header.codec = codec;
  header.level = codec == Codec::kNone ? 0 : 1;
  header.volume_bytes = volume_bytes;
  return header;
}

void write_image(const ImageHeader& header, const std::string& disk, const std::string& path) {
  auto created = ImageWriter::create(header, path);
  ASSERT_TRUE(created) << created.error().message();
  auto& writer = **created;
  SegmentCompressor compressor({header.codec, header.level});
  std::vector<std::uint8_t> stored(stored_bytes_max(header.segment_bytes));
  for (std::size_t at = 0; at < disk.size(); at += header.segment_bytes) {
    const auto plain = as_bytes(disk).subspan(at, std::min<std::size_t>(header.segment_bytes, disk.size() - at));
    if (all_zero(plain)) {
      ASSERT_TRUE(writer.add_zeros(plain.size()));
      continue;
    }
    const auto bytes = std::span(stored).first(compressor.compress(plain, stored));
    ASSERT_TRUE(writer.add_data({static_cast<std::uint32_t>(plain.size()), sha256(plain), xxh128(bytes), bytes, {}}));
  }
  const auto finished = writer.finish(std::nullopt, std::nullopt);
  ASSERT_TRUE(finished) << finished.error().message();
}

enum class Way { kIndexed, kStream };

std::string name_of_way(Way way) {
  return way == Way::kIndexed ? "indexed" : "stream";
}

Result<std::unique_ptr<ImageReader>> open_image(const std::string& path, Way way) {
  if (way == Way::kIndexed) {
    ImageReadOptions options;
    options.partial = true;
    return ImageReader::open(path, options);
  }
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "{}", path);
  return ImageReader::open_stream(std::make_unique<FdSource>(std::move(fd), path));
}

struct ReadBack {
  std::optional<Error> error;
  std::vector<std::string> problems;
  std::vector<Range> lost;   // damaged, or what did not prove itself
  std::vector<Range> wrong;  // proven, and yet not what was imaged
  bool whole = false;        // to the end of the disk

  bool reported() const { return error || !problems.empty() || !lost.empty(); }
  bool perfect() const { return !reported() && wrong.empty() && whole; }
};

// Reads all that an image gives, as verify does, and compares it with the disk that was imaged.
ReadBack read_back(const std::string& path, Way way, const std::string& disk) {
  ReadBack out;
  auto opened = open_image(path, way);
  if (!opened) {
    out.error = opened.error();
    return out;
  }
  auto& image = **opened;
  image.set_buffers(2);
  SegmentProver prover;
  std::vector<std::uint8_t> plain;
  std::uint64_t cursor = 0;
  for (;;) {
    auto segment = image.next();
    if (!segment) {
      out.error = segment.error();
      return out;
    }
    if (!*segment) break;
    const auto range = (*segment)->range;
    EXPECT_EQ(range.offset_bytes, cursor) << path;
    EXPECT_GT(range.length_bytes, 0U);
    EXPECT_LE(range.end(), image.disk_bytes());
    cursor = range.end();
    const auto original = [&] {
      if (range.offset_bytes >= disk.size() || range.length_bytes > disk.size() - range.offset_bytes) return Bytes();
      return as_bytes(disk).subspan(range.offset_bytes, range.length_bytes);
    }();
    if ((*segment)->kind == StoredSegment::Kind::kDamaged) {
      EXPECT_NE((*segment)->problem, "");
      out.lost.push_back(range);
    } else if ((*segment)->kind == StoredSegment::Kind::kZeros) {
      if (original.empty() || !all_zero(original)) out.wrong.push_back(range);
    } else {
      EXPECT_LE(range.length_bytes, image.header().segment_bytes);
      plain.resize(range.length_bytes);
      if (!prover.prove(**segment, plain)) {
        out.lost.push_back(range);
      } else {
        if (!(*segment)->problem.empty()) out.problems.push_back((*segment)->problem);
        if (!std::equal(plain.begin(), plain.end(), original.begin(), original.end())) out.wrong.push_back(range);
      }
    }
  }
  EXPECT_EQ(cursor, image.disk_bytes());
  out.whole = cursor == disk.size();
  auto checked = image.check_metadata();
  if (!checked) out.error = checked.error();
  out.problems.insert(out.problems.end(), image.problems().begin(), image.problems().end());
  return out;
}

std::string describe(const ReadBack& read) {
  std::string text = read.error ? "error: " + read.error->message() + "; " : "";
  for (const auto& problem : read.problems) text += problem + "; ";
  for (const auto& range : read.lost) text += fmt::format("lost {}+{}; ", range.offset_bytes, range.length_bytes);
  for (const auto& range : read.wrong) text += fmt::format("WRONG {}+{}; ", range.offset_bytes, range.length_bytes);
  return text;
}

void expect_perfect(const std::string& path, const std::string& disk) {
  for (auto way : {Way::kIndexed, Way::kStream}) {
    const auto read = read_back(path, way, disk);
    EXPECT_TRUE(read.perfect()) << name_of_way(way) << ": " << describe(read);
  }
}

// A change that damages an image: it is reported both ways, and nothing wrong is taken for proven.
void expect_found(const std::string& path, const std::string& disk, const std::string& what) {
  for (auto way : {Way::kIndexed, Way::kStream}) {
    const auto read = read_back(path, way, disk);
    EXPECT_TRUE(read.reported()) << what << ", " << name_of_way(way) << ": not seen";
    EXPECT_TRUE(read.wrong.empty()) << what << ", " << name_of_way(way) << ": " << describe(read);
  }
}

JobOptions quiet() {
  JobOptions job;
  job.progress = false;
  job.threads = 2;
  return job;
}

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

// ---- damage ----

class DamagedImage : public testing::Test {
 protected:
  DamagedImage() {
    write_image(make_header(disk_), disk_, path_);
    good_ = content_of(path_);
  }
  void write(std::string_view bytes) { write_file(path_, bytes); }

  // Positions where tar members begin, and the end.
  std::vector<std::size_t> members() const {
    std::vector<std::size_t> positions;
    std::size_t at = 0;
    for (; at + kTarEndBytes < good_.size();) {
      const auto member =
          decode_tar_header(std::span<const std::uint8_t, kTarBlockBytes>(as_bytes(good_).subspan(at, kTarBlockBytes)));
      if (!member) break;
      positions.push_back(at);
      at += kTarBlockBytes + tar_padded_bytes(member->size_bytes);
    }
    positions.push_back(at);
    return positions;
  }
  std::string part(std::size_t begin, std::size_t end) const { return good_.substr(begin, end - begin); }

  const TempFolder folder_;
  const std::string path_ = folder_ / "image";
  const std::string disk_ = make_disk("0tt0tt0", 5000);
  std::string good_;
};

TEST_F(DamagedImage, IsGoodBeforeItIsDamaged) {
  expect_perfect(path_, disk_);
  EXPECT_EQ(members().size(), 1 + 2 * 4 + 4 + 1U);
  EXPECT_EQ(members().back() + kTarEndBytes, good_.size());
}

TEST_F(DamagedImage, AnyFlippedBitAnywhereIsFound) {
  std::mt19937_64 random(1);
  for (std::size_t at = 0; at < good_.size(); ++at) {
    auto bad = good_;
    const auto bit = random() % 8;
    bad[at] = static_cast<char>(bad[at] ^ 1 << bit);
    write(bad);
    expect_found(path_, disk_, fmt::format("bit {} of byte {}", bit, at));
    if (HasFailure()) break;
  }
}

TEST_F(DamagedImage, VerifyReportsFlippedBits) {
  std::mt19937_64 random(2);
  for (std::size_t at = 0; at < good_.size(); at += 1 + random() % 100) {
    auto bad = good_;
    bad[at] = static_cast<char>(bad[at] ^ 1 << random() % 8);
    write(bad);
    for (auto way : {Way::kIndexed, Way::kStream}) {
      auto image = open_image(path_, way);
      if (!image) continue;
      const auto report = verify_image(**image, quiet());
      EXPECT_FALSE(report && report->good()) << "byte " << at << " " << name_of_way(way);
    }
  }
}

// One flipped bit costs at most the segment that it is in, and only in a payload or a record even that.
TEST_F(DamagedImage, OneFlippedBitCostsAtMostOneSegmentWhereTheIndexIsWhole) {
  const auto positions = members();
  for (std::size_t at = 0; at < positions[9]; at += 7) {
    auto bad = good_;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    write(bad);
    const auto read = read_back(path_, Way::kIndexed, disk_);
    EXPECT_FALSE(read.error) << at;
    EXPECT_LE(read.lost.size(), 1U) << at << ": " << describe(read);
    for (const auto& range : read.lost) EXPECT_LE(range.length_bytes, kSegment);
  }
}

TEST_F(DamagedImage, EveryTruncationIsFound) {
  std::mt19937_64 random(3);
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; size < good_.size(); size += 512) sizes.push_back(size);
  for (int i = 0; i < 50; ++i) sizes.push_back(random() % good_.size());
  for (const auto size : sizes) {
    write(good_.substr(0, size));
    expect_found(path_, disk_, fmt::format("cut at {}", size));
  }
}

// What precedes the cut is still delivered.
TEST_F(DamagedImage, SegmentsBeforeATruncationAreRead) {
  const auto positions = members();
  write(good_.substr(0, positions[5]));
  const auto read = read_back(path_, Way::kIndexed, disk_);
  ASSERT_EQ(read.lost.size(), 1U) << describe(read);
  EXPECT_EQ(read.lost[0], (Range{3 * kSegment, disk_.size() - 3 * kSegment}));
}

TEST_F(DamagedImage, BytesPutInOrAddedAreFound) {
  for (const auto at : members()) {
    for (const std::size_t bytes : {1, 512, 1024}) {
      write(good_.substr(0, at) + std::string(bytes, '\0') + good_.substr(at));
      expect_found(path_, disk_, fmt::format("{} zeros put in at {}", bytes, at));
    }
  }
  write(good_ + std::string(1, '\0'));
  expect_found(path_, disk_, "a zero added");
}

TEST_F(DamagedImage, DroppedMembersAreFound) {
  const auto positions = members();
  for (std::size_t i = 0; i + 1 < positions.size(); ++i) {
    write(good_.substr(0, positions[i]) + good_.substr(positions[i + 1]));
    expect_found(path_, disk_, fmt::format("member {} dropped", i));
  }
  for (std::size_t i = 1; i < 9; i += 2) {
    write(good_.substr(0, positions[i]) + good_.substr(positions[i + 2]));
    expect_found(path_, disk_, fmt::format("segment {} dropped", i / 2));
  }
  write(good_.substr(0, positions[1]) + good_.substr(positions[9]));
  expect_found(path_, disk_, "all segments dropped");
}

TEST_F(DamagedImage, DoubledMembersAreFound) {
  const auto positions = members();
  for (std::size_t i = 0; i + 1 < positions.size(); ++i) {
    write(good_.substr(0, positions[i + 1]) + good_.substr(positions[i]));
    expect_found(path_, disk_, fmt::format("member {} doubled", i));
  }
  for (std::size_t i = 1; i < 9; i += 2) {
    write(good_.substr(0, positions[i + 2]) + good_.substr(positions[i]));
    expect_found(path_, disk_, fmt::format("segment {} doubled", i / 2));
  }
}

TEST_F(DamagedImage, ReorderedMembersAreFound) {
  const auto p = members();
  for (std::size_t i = 0; i + 2 < p.size(); ++i) {
    write(good_.substr(0, p[i]) + part(p[i + 1], p[i + 2]) + part(p[i], p[i + 1]) + good_.substr(p[i + 2]));
    expect_found(path_, disk_, fmt::format("members {} and {} swapped", i, i + 1));
  }
  for (std::size_t i = 1; i + 4 <= 9; i += 2) {
    write(good_.substr(0, p[i]) + part(p[i + 2], p[i + 4]) + part(p[i], p[i + 2]) + good_.substr(p[i + 4]));
    expect_found(path_, disk_, fmt::format("segments {} and {} swapped", i / 2, i / 2 + 1));
  }
}

TEST_F(DamagedImage, RenamedMembersAreFound) {
  for (const auto at : members()) {
    if (at + kTarEndBytes >= good_.size()) break;
    auto member =
        decode_tar_header(std::span<const std::uint8_t, kTarBlockBytes>(as_bytes(good_).subspan(at, kTarBlockBytes)));
    ASSERT_TRUE(member);
    for (const auto& name : {member->name + "x", std::string(kSumsName), std::string("data/0000000000000000.zst")}) {
      if (name == member->name) continue;
      auto renamed = *member;
      renamed.name = name;
      auto bad = good_;
      bad.replace(at, kTarBlockBytes, as_text(encode_tar_header(renamed)));
      write(bad);
      expect_found(path_, disk_, fmt::format("{} renamed to {}", member->name, name));
    }
  }
}

TEST(SeedImage, PayloadsSwappedBetweenSegmentsAreFound) {
  const TempFolder folder;
  const auto disk = make_disk("rr0rr");
  write_image(make_header(disk, Codec::kNone), disk, folder / "image");
  auto bytes = content_of(folder / "image");
  const auto first = bytes.find(disk.substr(0, kSegment));
  const auto second = bytes.find(disk.substr(kSegment, kSegment));
  ASSERT_TRUE(first != std::string::npos && second != std::string::npos);
  std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(first),
                   bytes.begin() + static_cast<std::ptrdiff_t>(first + kSegment),
                   bytes.begin() + static_cast<std::ptrdiff_t>(second));
  write_file(folder / "image", bytes);
  expect_found(folder / "image", disk, "payloads swapped");
  EXPECT_EQ(read_back(folder / "image", Way::kStream, disk).lost.size(), 2U);
}

// A disk that holds an image, in an image that is not compressed: the inner one's members are in the payload.
TEST(SeedImage, AnImageWithinTheDiskDoesNotEndAScan) {
  const TempFolder folder;
  const auto inner_disk = make_disk("t0t", 3000);
  auto inner = make_header(inner_disk);
  inner.image_id.bytes.fill(9);
  inner.created_seconds = 1600000000;
  write_image(inner, inner_disk, folder / "inner");
  auto disk = make_disk("rrrr");
  const auto inner_bytes = content_of(folder / "inner");
  ASSERT_LT(inner_bytes.size(), std::size_t{kSegment});
  disk.replace(kSegment, inner_bytes.size(), inner_bytes);
  write_image(make_header(disk, Codec::kNone), disk, folder / "image");
  auto bytes = content_of(folder / "image");
  const auto record = bytes.find(fmt::format("offset={}", kSegment));
  bytes[record] ^= 1;               // the reader loses its place in front of the inner image
  bytes[bytes.size() - 2000] ^= 1;  // and there is no trailer
  write_file(folder / "image", bytes);
  for (auto way : {Way::kIndexed, Way::kStream}) {
    const auto read = read_back(folder / "image", way, disk);
    ASSERT_EQ(read.lost.size(), 1U) << describe(read);
    EXPECT_EQ(read.lost[0], (Range{kSegment, kSegment}));
    EXPECT_TRUE(read.wrong.empty());
  }
}

// ---- a hostile author ----

class LyingImage : public DamagedImage {
 protected:
  ImageTrailer trailer() const {
    return decode_trailer(std::string_view(good_).substr(trailer_at(), kTrailerBytes)).value();
  }
  std::size_t trailer_at() const { return good_.size() - kTarEndBytes - kTrailerBytes; }

  // The image with another index and trailer, whose digests match.
  std::string lie(const ImageTrailer& said, std::string index) const {
    auto bytes = good_;
    auto sealed = said;
    const auto at = trailer().index_position_bytes;
    bytes.replace(at, index.size(), index);
    sealed.index_sha256 = sha256(as_bytes(index));
    bytes.replace(trailer_at(), kTrailerBytes, encode_trailer(sealed));
    return bytes;
  }
  std::string index() const { return good_.substr(trailer().index_position_bytes, trailer().index_bytes); }

  // Nothing that is wrong is taken for whole and proven. Crashes and hangs are for the sanitizers and ctest to see.
  void expect_harmless(const std::string& what) {
    for (auto way : {Way::kIndexed, Way::kStream}) {
      const auto read = read_back(path_, way, disk_);
      EXPECT_TRUE(read.reported() || read.wrong.empty()) << what << " " << name_of_way(way) << ": " << describe(read);
    }
  }
};

TEST_F(LyingImage, AnIndexThatLiesWithMatchingDigestsIsHarmless) {
  const std::uint64_t values[] = {0,
                                  1,
                                  511,
                                  512,
                                  1024,
                                  kSegment - 1,
                                  kSegment,
                                  kSegment + 1,
                                  3 * kSegment,
                                  1ULL << 32,
                                  INT64_MAX,
                                  UINT64_MAX,
                                  UINT64_MAX - kSegment,
                                  UINT64_MAX - 511,
                                  good_.size(),
                                  disk_.size()};
  const auto good = index();
  const auto entries = (good.size() - sizeof(IndexHeader)) / sizeof(IndexEntry);
  for (std::size_t number = 0; number < entries; ++number) {
    const auto at = sizeof(IndexHeader) + number * sizeof(IndexEntry);
    for (int field = 0; field < 8; ++field) {
      for (const auto value : values) {
        IndexEntry entry;
        auto bad = good;
        std::memcpy(&entry, bad.data() + at, sizeof entry);
        if (field == 0) entry.offset_bytes = value;
        if (field == 1) entry.length_bytes = value;
        if (field == 2) entry.position_bytes = value;
        if (field == 3) entry.stored_bytes = static_cast<std::uint32_t>(value);
        if (field == 4) entry.kind = static_cast<std::uint16_t>(value);
        if (field == 5) entry.flags = static_cast<std::uint16_t>(value);
        if (field == 6) entry.sha256[0] ^= static_cast<std::uint8_t>(value);
        if (field == 7) entry.position_bytes = entry.position_bytes + value;
        std::memcpy(bad.data() + at, &entry, sizeof entry);
        write(lie(trailer(), bad));
        expect_harmless(fmt::format("entry {} field {} = {}", number, field, value));
      }
    }
  }
}

TEST_F(LyingImage, ATrailerThatLiesIsFound) {
  const std::uint64_t values[] = {0, 1, 512, kSegment, 2 * kSegment, good_.size(), INT64_MAX / 4};
  const auto said = trailer();
  for (const auto value : values) {
    for (int field = 0; field < 9; ++field) {
      auto t = said;
      if (field == 0) t.disk_bytes = std::max<std::uint64_t>(value, t.range.end());
      if (field == 1) t.range = {0, std::min(value, t.disk_bytes)};
      if (field == 2) t.range = {std::min(value, t.disk_bytes) / kSegment * kSegment, 0};
      if (field == 3) t.data_segments = value;
      if (field == 4) t.first_ordinal = value;
      if (field == 5) t.index_position_bytes = value;
      if (field == 6) t.data_end_position_bytes = value;
      if (field == 7) t.header_bytes = std::min<std::uint64_t>(value, kHeaderBytesMax);
      if (field == 8) t.sums_bytes = value;
      if (t == said || t.disk_bytes > kDiskBytesMax) continue;
      write(lie(t, index()));
      const auto read = read_back(path_, Way::kIndexed, disk_);
      EXPECT_TRUE(read.reported()) << "field " << field << " = " << value;
      expect_harmless(fmt::format("field {} = {}", field, value));
    }
  }
  auto t = said;
  t.merkle_root[0] ^= 1;
  write(lie(t, index()));
  expect_found(path_, disk_, "another Merkle root");
  t = said;
  t.image_merkle_root->front() ^= 1;
  write(lie(t, index()));
  expect_found(path_, disk_, "another Merkle root of the image");
  t = said;
  t.segment_bytes *= 2;
  write(lie(t, index()));
  expect_found(path_, disk_, "another segment size");
}

TEST_F(LyingImage, TwoEntriesForOneSegmentAreFound) {
  auto bad = index();
  const auto first = sizeof(IndexHeader) + sizeof(IndexEntry), second = first + sizeof(IndexEntry);
  IndexEntry one, two;
  std::memcpy(&one, bad.data() + first, sizeof one);
  std::memcpy(&two, bad.data() + second, sizeof two);
  ASSERT_TRUE(one.is_data() && two.is_data());
  one.offset_bytes = two.offset_bytes;
  std::memcpy(bad.data() + second, &one, sizeof one);
  write(lie(trailer(), bad));
  // The index is believed until its root is compared; a stream does not need it.
  EXPECT_TRUE(read_back(path_, Way::kIndexed, disk_).reported());
  expect_harmless("the first segment given for the second too");
}

// The index is read twice: a file that changes between must not lead out of a buffer.
TEST_F(LyingImage, AnIndexThatChangesAfterItWasCheckedIsHarmless) {
  constexpr std::size_t kSegments = 4200;  // more than are kept of the index
  std::string disk(kSegments * kSegment, '\0');
  for (std::size_t i = 0; i < kSegments; i += 1) disk[i * kSegment] = 'x';
  write_image(make_header(disk), disk, path_);
  auto image = ImageReader::open(path_, {}).value();
  image->set_buffers(2);
  auto bytes = content_of(path_);
  const auto said =
      decode_trailer(std::string_view(bytes).substr(bytes.size() - kTarEndBytes - kTrailerBytes, kTrailerBytes))
          .value();
  const auto at = said.index_position_bytes + sizeof(IndexHeader);
  for (std::size_t i = 0; i < kSegments; ++i) {
    IndexEntry entry;
    std::memcpy(&entry, bytes.data() + at + i * sizeof entry, sizeof entry);
    entry.length_bytes = UINT32_MAX;
    entry.stored_bytes = UINT32_MAX;
    std::memcpy(bytes.data() + at + i * sizeof entry, &entry, sizeof entry);
  }
  UniqueFd fd(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  std::optional<Error> error;
  for (;;) {
    auto segment = image->next();
    if (!segment) error = segment.error();
    if (!segment || !*segment) break;
    EXPECT_LE((*segment)->range.length_bytes, kSegment);
  }
  ASSERT_TRUE(error);
  EXPECT_THAT(error->message(), HasSubstr("changed"));
}

// ---- resuming ----

class Resumed : public testing::Test {
 protected:
  void image_disk(std::uint64_t volume_bytes, Codec codec) {
    write_file(source_, disk_);
    ImageOptions options = make_options(volume_bytes, codec);
    const auto report = make_image(options);
    ASSERT_TRUE(report) << report.error().message();
    for (const auto& path : existing_volumes(path_)) whole_.push_back({path, content_of(path)});
  }
  ImageOptions make_options(std::uint64_t volume_bytes, Codec codec) const {
    ImageOptions options;
    options.source = source_;
    options.image = path_;
    options.compression = {codec, codec == Codec::kNone ? 0 : 1};
    options.segment_bytes = kSegment;
    options.volume_bytes = volume_bytes;
    options.whole_disk_digests = {DigestKind::kMd5, DigestKind::kSha256};
    options.note = "resumed";
    options.job = quiet();
    return options;
  }
  // As an interruption leaves it: volumes before `volume` whole, it cut at `size`, later ones not there.
  void cut(std::size_t volume, std::size_t size) {
    for (std::size_t i = 0; i < whole_.size(); ++i) {
      if (i > volume) {
        fs::remove(whole_[i].path);
      } else {
        write_file(whole_[i].path, i == volume ? whole_[i].bytes.substr(0, size) : unfinished(whole_[i].bytes));
      }
    }
  }
  // The number of volumes is written into the trailers last.
  static std::string unfinished(const std::string& bytes) {
    auto out = bytes;
    const auto at = bytes.size() - kTarEndBytes - kTrailerBytes;
    auto trailer = decode_trailer(std::string_view(bytes).substr(at, kTrailerBytes)).value();
    if (!trailer.last) trailer.volumes = 0;
    return out.replace(at, kTrailerBytes, encode_trailer(trailer));
  }
  void resume_and_expect_the_same(const std::string& what) {
    auto options = make_options(0, Codec::kZstd);  // all of it comes from the header
    options.resume = true;
    const auto report = make_image(options);
    ASSERT_TRUE(report) << what << ": " << report.error().message();
    EXPECT_TRUE(report->md5 && report->sha256);
    EXPECT_EQ(existing_volumes(path_).size(), whole_.size()) << what;
    for (const auto& volume : whole_)
      EXPECT_TRUE(content_of(volume.path) == volume.bytes) << what << " " << volume.path;
  }
  std::vector<std::size_t> boundaries(const std::string& bytes) const {
    std::vector<std::size_t> positions;
    for (std::size_t at = 0; at + kTarEndBytes < bytes.size();) {
      const auto member =
          decode_tar_header(std::span<const std::uint8_t, kTarBlockBytes>(as_bytes(bytes).subspan(at, kTarBlockBytes)));
      if (!member) break;
      at += kTarBlockBytes + tar_padded_bytes(member->size_bytes);
      positions.push_back(at);
    }
    positions.push_back(bytes.size());
    return positions;
  }

  struct File {
    std::string path, bytes;
  };
  const TempFolder folder_;
  const std::string source_ = folder_ / "source";
  const std::string path_ = folder_ / "image";
  std::string disk_ = make_disk("0rt0r0t00", 5000);
  std::vector<File> whole_;
};

TEST_F(Resumed, AnImageCutAnywhereBecomesTheUninterruptedOne) {
  image_disk(0, Codec::kZstd);
  ASSERT_EQ(whole_.size(), 1U);
  auto cuts = boundaries(whole_[0].bytes);
  const auto header_end = cuts.front();
  std::mt19937_64 random(4);
  for (int i = 0; i < 20; ++i) cuts.push_back(header_end + random() % (whole_[0].bytes.size() - header_end));
  for (const auto size : cuts) {
    cut(0, size);
    resume_and_expect_the_same(fmt::format("cut at {}", size));
  }
}

TEST_F(Resumed, AnImageCutInItsHeaderSaysThatNothingCanBeResumed) {
  image_disk(0, Codec::kZstd);
  for (const std::size_t size : {std::size_t{0}, std::size_t{511}, std::size_t{512}, std::size_t{900}}) {
    cut(0, size);
    auto options = make_options(0, Codec::kZstd);
    options.resume = true;
    const auto report = make_image(options);
    ASSERT_FALSE(report) << size;
    EXPECT_THAT(report.error().message(), HasSubstr("--overwrite"));
    EXPECT_EQ(fs::file_size(path_), size) << "it was changed";
  }
}

TEST_F(Resumed, ADamagedSegmentIsImagedAgain) {
  image_disk(0, Codec::kZstd);
  auto bytes = whole_[0].bytes;
  bytes[boundaries(bytes)[1] + kTarBlockBytes + 100] ^= 1;
  write_file(path_, bytes);
  resume_and_expect_the_same("a flipped bit");
}

TEST_F(Resumed, AnImageInVolumesCutAnywhereBecomesTheUninterruptedOne) {
  image_disk(kVolume, Codec::kNone);
  ASSERT_GE(whole_.size(), 3U);
  std::mt19937_64 random(6);
  for (std::size_t volume = 0; volume < whole_.size(); ++volume) {
    const auto& bytes = whole_[volume].bytes;
    auto cuts = boundaries(bytes);
    const auto header_end = cuts.front();
    for (int i = 0; i < 4; ++i) cuts.push_back(header_end + random() % (bytes.size() - header_end));
    if (volume > 0) cuts.insert(cuts.end(), {0, 100, 512, header_end - 1});
    for (const auto size : cuts) {
      cut(volume, size);
      resume_and_expect_the_same(fmt::format("volume {} cut at {}", volume + 1, size));
    }
  }
}

// Volumes that an earlier image left under the same names, of the same layout and other content.
TEST_F(Resumed, VolumesOfAnEarlierImageAreNotTakenForThisOne) {
  const auto now = disk_;
  for (auto& byte : disk_) byte = byte == 0 ? '\0' : static_cast<char>(byte ^ 0x55 ? byte ^ 0x55 : 1);
  image_disk(kVolume, Codec::kNone);
  const auto earlier = whole_;
  whole_.clear();
  disk_ = now;
  image_disk(kVolume, Codec::kNone);
  ASSERT_EQ(earlier.size(), whole_.size());
  cut(0, whole_[0].bytes.size());
  for (std::size_t i = 1; i < earlier.size(); ++i) write_file(earlier[i].path, earlier[i].bytes);
  resume_and_expect_the_same("stale volumes");
}

TEST_F(Resumed, AnotherVersionsHeaderIsRefused) {
  image_disk(0, Codec::kZstd);
  // A header with a field that this version would not write again: every later position would differ.
  const auto& bytes = whole_[0].bytes;
  const auto header_end = boundaries(bytes).front();
  auto value = nlohmann::json::parse(bytes.substr(kTarBlockBytes, bytes.find('\0', kTarBlockBytes) - kTarBlockBytes));
  value["later"] = std::string(1000, 'x');
  value["check"] = kUnsealed;
  const auto text = seal(value.dump(2) + "\n");
  std::string other(as_text(encode_tar_header(
      {TarType::kFile, std::string(kHeaderName), text.size(), value["created_seconds"].get<std::uint64_t>()})));
  other += text + std::string(tar_padding_bytes(text.size()), '\0');
  for (const auto& rest : {std::string(), bytes.substr(header_end, 1000), bytes.substr(header_end)}) {
    write_file(path_, other + rest);
    auto options = make_options(0, Codec::kZstd);
    options.resume = true;
    const auto report = make_image(options);
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error().message(), HasSubstr("another version"));
    EXPECT_TRUE(content_of(path_) == other + rest) << "it was changed";
  }
}

TEST_F(Resumed, ADiskThatHasChangedIsRefused) {
  image_disk(0, Codec::kZstd);
  cut(0, boundaries(whole_[0].bytes)[4]);
  auto changed = disk_;
  changed[kSegment + 5] = static_cast<char>(changed[kSegment + 5] ^ 1);
  write_file(source_, changed);
  auto options = make_options(0, Codec::kZstd);
  options.resume = true;
  const auto report = make_image(options);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kRefused);
}

}  // namespace
}  // namespace drseed::seed
