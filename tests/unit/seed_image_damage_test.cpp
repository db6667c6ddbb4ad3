// Images that were damaged in every way, or made to lie: all of it is found, and nothing wrong is taken for proven.

#include "seed_image_test_support.h"

namespace drseed::seed {
namespace {

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

// Every byte of a small container, in parts that ctest runs side by side.
class FlippedBits : public testing::TestWithParam<std::size_t> {
 public:
  static constexpr std::size_t kParts = 4;
};

TEST_P(FlippedBits, AnyFlippedBitAnywhereIsFound) {
  const TempFolder folder;
  const auto path = folder / "image";
  const auto disk = make_disk("t0t", 700);
  write_image(make_header(disk), disk, path);
  const auto good = content_of(path);
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  std::mt19937_64 random(GetParam());
  for (std::size_t at = GetParam(); at < good.size() && !HasFailure(); at += kParts) {
    const auto bit = random() % 8;
    const auto bad = static_cast<char>(good[at] ^ 1 << bit);
    ASSERT_EQ(pwrite(file.get(), &bad, 1, static_cast<off_t>(at)), 1);
    expect_found(path, disk, fmt::format("bit {} of byte {}", bit, at));
    ASSERT_EQ(pwrite(file.get(), &good[at], 1, static_cast<off_t>(at)), 1);
  }
  expect_perfect(path, disk);
}

INSTANTIATE_TEST_SUITE_P(Part, FlippedBits, testing::Range<std::size_t>(0, FlippedBits::kParts));

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

}  // namespace
}  // namespace drseed::seed
