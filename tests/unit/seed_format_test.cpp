// The tar, the segment record, the index, the JSON parts, the Merkle tree, the codecs and the range set.

#include "seed_format_test_support.h"

namespace drseed::seed {
namespace {

// ---- tar ----

constexpr std::uint64_t kTarNumberMax = (std::uint64_t{1} << 33) - 1;

TEST(TarHeader, WhatIsEncodedIsDecoded) {
  for (const auto& name : {std::string("a"), std::string(99, 'n'), std::string(kTrailerName)}) {
    for (std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{512}, kTarNumberMax}) {
      for (auto type : {TarType::kFile, TarType::kPax}) {
        const TarMember member{type, name, size, kTarNumberMax - size};
        const auto decoded = decode_tar_header(encode_tar_header(member));
        ASSERT_TRUE(decoded) << name << " " << size;
        EXPECT_EQ(*decoded, member);
      }
    }
  }
}

TEST(TarHeader, EveryFlippedBitIsRefused) {
  const auto good = encode_tar_header({TarType::kFile, data_name(4 << 20, Codec::kZstd), 12345, 1700000000});
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_FALSE(decode_tar_header(bad)) << "bit " << bit;
  }
}

// A change of two bytes that leaves the sum of the bytes as it was.
TEST(TarHeader, ChangesThatKeepTheChecksumAreRefused) {
  const auto good = encode_tar_header({TarType::kFile, "data/00", 5, 7});
  for (std::size_t at = 0; at + 1 < good.size(); ++at) {
    auto bad = good;
    if (bad[at] == 255 || bad[at + 1] == 0) continue;
    ++bad[at];
    --bad[at + 1];
    const auto decoded = decode_tar_header(bad);
    if (!decoded) continue;
    // Only where a name or number is spelt otherwise can it still be a header, and then it says something else.
    EXPECT_EQ(encode_tar_header(*decoded), bad);
    EXPECT_NE(*decoded, (TarMember{TarType::kFile, "data/00", 5, 7}));
  }
}

TEST(TarHeader, NamesWithoutAnEndAndEmptyNamesAreRefused) {
  auto block = encode_tar_header({TarType::kFile, "a", 0, 0});
  block[0] = 0;
  EXPECT_FALSE(decode_tar_header(block));
  std::memset(block.data(), 'a', 100);
  EXPECT_FALSE(decode_tar_header(block));
  EXPECT_FALSE(decode_tar_header(TarBlock{}));
}

TEST(TarHeaderDeathTest, NamesAndSizesOverTheLimitAreProgrammerErrors) {
  EXPECT_DEATH((void)encode_tar_header({TarType::kFile, std::string(100, 'n'), 0, 0}), "");
  EXPECT_DEATH((void)encode_tar_header({TarType::kFile, "n", kTarNumberMax + 1, 0}), "");
  EXPECT_DEATH((void)encode_tar_header({TarType::kFile, "n", 0, kTarNumberMax + 1}), "");
}

TEST(PaxComment, LengthCountsItsOwnDigits) {
  for (std::size_t length = 0; length <= 2000; ++length) {
    const std::string text(length, 'x');
    const auto content = encode_pax_comment(text);
    EXPECT_EQ(std::stoul(content), content.size()) << length;
    const auto decoded = decode_pax_comment(content);
    ASSERT_TRUE(decoded) << length;
    EXPECT_EQ(*decoded, text);
  }
}

TEST(PaxComment, AnythingElseIsRefused) {
  const auto good = encode_pax_comment("text");
  for (const auto& bad : {std::string(), std::string("\n"), std::string(" comment="), std::string(" comment=\n"),
                          "0" + good, good + "\n", good + good, good.substr(1), good.substr(0, good.size() - 1),
                          " " + good, std::string("17 comment=text\n"), std::string("016 comment=text\n")}) {
    EXPECT_FALSE(decode_pax_comment(bad)) << bad;
  }
}

TEST(PaxComment, TextThatHoldsTheKeyIsKept) {
  EXPECT_EQ(decode_pax_comment(encode_pax_comment("a comment=b\n")), "a comment=b\n");
}

// ---- segment records ----

SegmentRecord some_record() {
  SegmentRecord record;
  record.image_id = some_id();
  record.ordinal = 3;
  record.offset_bytes = 8 << 20;
  record.length_bytes = 4 << 20;
  record.stored_bytes = 12345;
  record.zeros_from_bytes = 4 << 20;
  record.sha256 = sha256(as_bytes("plain"));
  record.xxh128 = xxh128(as_bytes("stored"));
  record.unreadable = {{8 << 20, 512}, {(8 << 20) + 4096, 4096}};
  return record;
}

// The text of a record that the decoder's limits refuse, if it is refused for them only: its checksum is right.
bool refused(const SegmentRecord& record) {
  return !decode_segment_record(encode_segment_record(record));
}

TEST(SegmentRecord, WhatIsEncodedIsDecoded) {
  auto record = some_record();
  EXPECT_EQ(decode_segment_record(encode_segment_record(record)), record);
  record.unreadable.clear();
  EXPECT_EQ(decode_segment_record(encode_segment_record(record)), record);
  record.ordinal = UINT64_MAX;
  record.offset_bytes = record.zeros_from_bytes = kDiskBytesMax;
  record.length_bytes = kSegmentBytesMax;
  record.stored_bytes = static_cast<std::uint32_t>(stored_bytes_max(kSegmentBytesMax));
  EXPECT_EQ(decode_segment_record(encode_segment_record(record)), record);
}

TEST(SegmentRecord, TheLongestOneIsWithinItsLimit) {
  auto record = some_record();
  record.ordinal = UINT64_MAX;
  record.offset_bytes = record.zeros_from_bytes = kDiskBytesMax - kSegmentBytesMax;
  record.length_bytes = kSegmentBytesMax;
  record.stored_bytes = kSegmentBytesMax;
  record.unreadable.clear();
  for (std::uint64_t i = 0; i < kUnreadableRangesMax; ++i)
    record.unreadable.push_back({record.offset_bytes + i * (kSegmentBytesMax / 256), 40000});
  const auto text = encode_segment_record(record);
  EXPECT_LE(encode_pax_comment(text).size(), kRecordBytesMax);
  EXPECT_EQ(decode_segment_record(text), record);
  record.unreadable.push_back({record.offset_bytes + kSegmentBytesMax - 1, 1});
  EXPECT_TRUE(refused(record));
}

TEST(SegmentRecord, EveryFlippedBitIsRefused) {
  for (auto ranges : {0, 2}) {
    auto record = some_record();
    record.unreadable.resize(static_cast<std::size_t>(ranges));
    const auto good = encode_segment_record(record);
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      auto bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
      EXPECT_FALSE(decode_segment_record(bad)) << "bit " << bit;
    }
    for (std::size_t length = 0; length < good.size(); ++length)
      EXPECT_FALSE(decode_segment_record(good.substr(0, length))) << length;
    EXPECT_FALSE(decode_segment_record(good + " "));
    EXPECT_FALSE(decode_segment_record(" " + good));
  }
}

TEST(SegmentRecord, SizesOutOfLimitsAreRefused) {
  const auto with = [](auto change) {
    auto record = some_record();
    record.unreadable.clear();
    change(record);
    return refused(record);
  };
  EXPECT_FALSE(with([](SegmentRecord&) {}));
  EXPECT_TRUE(with([](SegmentRecord& r) { r.length_bytes = 0; }));
  EXPECT_TRUE(with([](SegmentRecord& r) { r.length_bytes = kSegmentBytesMax + 1; }));
  EXPECT_TRUE(with([](SegmentRecord& r) { r.length_bytes = UINT32_MAX; }));
  EXPECT_TRUE(with([](SegmentRecord& r) { r.stored_bytes = 0; }));
  EXPECT_TRUE(with(
      [](SegmentRecord& r) { r.stored_bytes = static_cast<std::uint32_t>(stored_bytes_max(r.length_bytes)) + 1; }));
  EXPECT_TRUE(with([](SegmentRecord& r) { r.offset_bytes = kDiskBytesMax + 1; }));
  EXPECT_TRUE(with([](SegmentRecord& r) { r.offset_bytes = UINT64_MAX; }));
  EXPECT_TRUE(with([](SegmentRecord& r) { r.zeros_from_bytes = r.offset_bytes + 1; }));
}

TEST(SegmentRecord, UnreadableRangesOutsideOrOutOfOrderAreRefused) {
  const auto with = [](std::vector<Range> ranges) {
    auto record = some_record();
    record.unreadable = std::move(ranges);
    return refused(record);
  };
  const std::uint64_t begin = 8 << 20, end = 12 << 20;
  EXPECT_FALSE(with({{begin, 4 << 20}}));
  EXPECT_FALSE(with({{begin, 512}, {begin + 512, 512}}));
  EXPECT_TRUE(with({{begin, 0}}));
  EXPECT_TRUE(with({{begin - 512, 512}}));
  EXPECT_TRUE(with({{begin - 512, 1024}}));
  EXPECT_TRUE(with({{end - 512, 1024}}));
  EXPECT_TRUE(with({{end, 512}}));
  EXPECT_TRUE(with({{begin + 4096, 512}, {begin, 512}}));
  EXPECT_TRUE(with({{begin, 1024}, {begin + 512, 1024}}));
  EXPECT_TRUE(with({{begin, UINT64_MAX}}));
  EXPECT_TRUE(with({{begin + 512, UINT64_MAX - begin}}));
  EXPECT_TRUE(with({{UINT64_MAX, 512}}));
}

TEST(SegmentFront, IsWhatTarCallsTheMembers) {
  const auto record = some_record();
  const auto front = segment_front(record, Codec::kZstd, 1700000000);
  ASSERT_EQ(front.size() % kTarBlockBytes, 0U);
  TarBlock block;
  std::memcpy(block.data(), front.data(), block.size());
  const auto pax = decode_tar_header(block);
  ASSERT_TRUE(pax);
  EXPECT_EQ(pax->type, TarType::kPax);
  EXPECT_EQ(pax->name, "PaxHeaders/0000000000800000");
  std::memcpy(block.data(), front.data() + front.size() - block.size(), block.size());
  const auto file = decode_tar_header(block);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->name, "data/0000000000800000.zst");
  EXPECT_EQ(file->size_bytes, record.stored_bytes);
}

TEST(CodecNames, AreReadBack) {
  for (auto codec : {Codec::kNone, Codec::kGzip, Codec::kZstd}) EXPECT_EQ(codec_named(name_of(codec)), codec);
  EXPECT_FALSE(codec_named(""));
  EXPECT_FALSE(codec_named("Zstd"));
  EXPECT_EQ(data_name(UINT64_MAX, Codec::kNone), "data/ffffffffffffffff");
}

// ---- index ----

TEST(IndexHeader, EveryFlippedBitIsRefused) {
  const auto good = make_index_header(some_id(), 2, 1 << 20, 77);
  std::array<std::uint8_t, sizeof good> bytes;
  std::memcpy(bytes.data(), &good, bytes.size());
  const auto decoded = decode_index_header(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->entry_count, 77U);
  EXPECT_EQ(decoded->volume, 2U);
  EXPECT_EQ(decoded->range_offset_bytes, 1U << 20);
  EXPECT_EQ(decoded->image_id, some_id().bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto bad = bytes;
    bad[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_FALSE(decode_index_header(bad)) << "bit " << bit;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_index_header(std::span(bytes).first(size))) << size;
}

struct IndexRules : testing::Test {
  IndexBounds bounds{{4 * kSegment, 10 * kSegment}, 100 * kSegment, kSegment, 1 << 20};
  IndexEntry data{}, zeros{};
  IndexRules() {
    data.offset_bytes = 5 * kSegment;
    data.length_bytes = kSegment;
    data.position_bytes = 2048;
    data.stored_bytes = 1000;
    data.kind = static_cast<std::uint16_t>(EntryKind::kData);
    data.flags = kEntryHasUnreadable;
    data.sha256.fill(1);
    data.xxh128.fill(2);
    zeros.offset_bytes = 5 * kSegment;
    zeros.length_bytes = 9 * kSegment;
    zeros.kind = static_cast<std::uint16_t>(EntryKind::kZeros);
  }
  bool good(const IndexEntry& entry) const { return check_index_entry(entry, 5 * kSegment, bounds).has_value(); }
  template <typename Change>
  bool data_with(Change change) const {
    auto entry = data;
    change(entry);
    return good(entry);
  }
  template <typename Change>
  bool zeros_with(Change change) const {
    auto entry = zeros;
    change(entry);
    return good(entry);
  }
};

TEST_F(IndexRules, DataAndZerosThatFollowTheRulesAreAccepted) {
  EXPECT_TRUE(good(data));
  EXPECT_TRUE(good(zeros));
  EXPECT_TRUE(data_with([](IndexEntry& e) { e.position_bytes = (1 << 20) - 1000; }));
}

TEST_F(IndexRules, EntriesOutOfOrderGapsAndOverlapsAreRefused) {
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.offset_bytes = 4 * kSegment; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.offset_bytes = 6 * kSegment; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.offset_bytes = 0; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.offset_bytes = UINT64_MAX; }));
}

TEST_F(IndexRules, EntriesBeyondTheRangeAreRefused) {
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.length_bytes = 10 * kSegment; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.length_bytes = 0; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.length_bytes = UINT64_MAX; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.length_bytes = UINT64_MAX - 5 * kSegment + 1; }));
  EXPECT_FALSE(check_index_entry(zeros, 14 * kSegment, bounds));
}

TEST_F(IndexRules, UnalignedEntriesAreRefusedExceptAtTheEndOfTheDisk) {
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.length_bytes = kSegment - 512; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.length_bytes = kSegment + 512; }));
  auto entry = data;
  entry.offset_bytes = 5 * kSegment + 512;
  EXPECT_FALSE(check_index_entry(entry, 5 * kSegment + 512, bounds));
  bounds.disk_bytes = 5 * kSegment + 512;
  bounds.range.length_bytes = bounds.disk_bytes - bounds.range.offset_bytes;
  EXPECT_TRUE(data_with([](IndexEntry& e) { e.length_bytes = 512; }));
  EXPECT_TRUE(zeros_with([](IndexEntry& e) { e.length_bytes = 512; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.length_bytes = 511; }));
}

TEST_F(IndexRules, ZerosWithFieldsOfDataAreRefused) {
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.position_bytes = 1; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.stored_bytes = 1; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.flags = 1; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.sha256[31] = 1; }));
  EXPECT_FALSE(zeros_with([](IndexEntry& e) { e.xxh128[0] = 1; }));
}

TEST_F(IndexRules, UnknownKindsAndFlagsAreRefused) {
  for (std::uint16_t kind : {0, 3, 256, 0xffff}) EXPECT_FALSE(data_with([&](IndexEntry& e) { e.kind = kind; })) << kind;
  for (std::uint16_t flags : {2, 3, 0x8000, 0xffff})
    EXPECT_FALSE(data_with([&](IndexEntry& e) { e.flags = flags; })) << flags;
}

TEST_F(IndexRules, ImpossibleStoredSizesAndPositionsAreRefused) {
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.length_bytes = 2 * kSegment; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.stored_bytes = 0; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.stored_bytes = UINT32_MAX; }));
  EXPECT_FALSE(
      data_with([](IndexEntry& e) { e.stored_bytes = static_cast<std::uint32_t>(stored_bytes_max(kSegment)) + 1; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.position_bytes = 1 << 20; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.position_bytes = (1 << 20) - 999; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.position_bytes = UINT64_MAX; }));
  EXPECT_FALSE(data_with([](IndexEntry& e) { e.position_bytes = UINT64_MAX - 999; }));
}

// ---- Merkle tree ----

// RFC 6962 section 2.1, word for word.
Sha256Digest naive_root(const std::vector<Sha256Digest>& leaves) {
  if (leaves.empty()) return sha256({});
  std::vector<std::uint8_t> bytes;
  if (leaves.size() == 1) {
    bytes.push_back(0);
    bytes.insert(bytes.end(), leaves[0].begin(), leaves[0].end());
    return sha256(bytes);
  }
  std::size_t k = 1;
  while (k * 2 < leaves.size()) k *= 2;
  const auto left = naive_root({leaves.begin(), leaves.begin() + static_cast<std::ptrdiff_t>(k)});
  const auto right = naive_root({leaves.begin() + static_cast<std::ptrdiff_t>(k), leaves.end()});
  bytes.push_back(1);
  bytes.insert(bytes.end(), left.begin(), left.end());
  bytes.insert(bytes.end(), right.begin(), right.end());
  return sha256(bytes);
}

TEST(Merkle, RootIsThatOfRfc6962) {
  MerkleTree tree;
  std::vector<Sha256Digest> leaves;
  for (unsigned count = 0; count <= 70; ++count) {
    EXPECT_EQ(tree.root(), naive_root(leaves)) << count;
    leaves.push_back(sha256(as_bytes(std::to_string(count))));
    tree.add(leaves.back());
  }
}

TEST(Merkle, RunsOfZerosCountAsTheirSegments) {
  std::mt19937_64 random(1);
  const std::vector<std::uint8_t> zeros(kSegment);
  for (int round = 0; round < 40; ++round) {
    SegmentMerkle merkle(kSegment);
    std::vector<Sha256Digest> leaves;
    for (int run = 0; run < 5; ++run) {
      const auto data = random() % 4, blank = random() % 20;
      for (std::uint64_t i = 0; i < data; ++i) {
        leaves.push_back(sha256(as_bytes(std::to_string(random()))));
        merkle.add_data(leaves.back());
      }
      leaves.insert(leaves.end(), blank, sha256(zeros));
      merkle.add_zeros(blank * kSegment);
    }
    if (round % 2 == 0) {
      const auto last = 1 + random() % (kSegment - 1);
      leaves.push_back(sha256(std::span(zeros).first(last)));
      merkle.add_zeros(last);
    }
    EXPECT_EQ(merkle.root(), naive_root(leaves)) << round;
  }
}

TEST(Merkle, TheLargestDiskOfZerosTakesNoTime) {
  SegmentMerkle one(kSegmentBytesMin), two(kSegmentBytesMin);
  one.add_zeros(kDiskBytesMax);
  two.add_zeros(std::uint64_t{kSegmentBytesMin} * 12345);
  two.add_zeros(kDiskBytesMax - std::uint64_t{kSegmentBytesMin} * 12345);
  EXPECT_EQ(one.root(), two.root());
}

TEST(Merkle, DigestOfZerosIsThatOfTheBytes) {
  for (std::size_t length : {0, 1, 65535, 65536, 65537, 200000})
    EXPECT_EQ(sha256_of_zeros(length), sha256(std::vector<std::uint8_t>(length))) << length;
}

// ---- codecs ----

TEST(ParseCompression, AcceptsTheLevelsOfEachCodec) {
  EXPECT_EQ(parse_compression("zstd")->level, 1);
  EXPECT_EQ(parse_compression("zstd:22")->level, 22);
  EXPECT_EQ(parse_compression("gzip")->level, 6);
  EXPECT_EQ(parse_compression("gzip:9")->codec, Codec::kGzip);
  EXPECT_EQ(parse_compression("none")->codec, Codec::kNone);
  for (const auto* bad : {"", "zstd:", "zstd:0", "zstd:23", "zstd:-1", "zstd:1x", "zstd: 1", "zstd:99999999999",
                          "gzip:10", "gzip:0", "none:1", "none:0", "lz4", "ZSTD", "zstd:1:1"}) {
    const auto parsed = parse_compression(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::kUsage);
  }
}

std::vector<std::vector<std::uint8_t>> codec_inputs() {
  std::vector<std::vector<std::uint8_t>> inputs;
  for (std::size_t size :
       {1UL, 2UL, 511UL, 65535UL, 65536UL, 65537UL, std::size_t{kSegmentBytesDefault}, std::size_t{kSegmentBytesMax}}) {
    inputs.push_back(random_bytes(size, size));  // incompressible
    inputs.emplace_back(size, std::uint8_t{0x5a});
    auto mixed = random_bytes(size, size + 1);
    for (std::size_t i = 0; i < size; i += 2) mixed[i] = static_cast<std::uint8_t>(i >> 8);
    inputs.push_back(std::move(mixed));
  }
  return inputs;
}

TEST(SegmentCodec, WhatIsCompressedIsDecompressedAndNeverLargerThanTheBound) {
  for (const auto* text : {"none", "gzip:1", "gzip:6", "zstd:1", "zstd:3"}) {
    const auto compression = parse_compression(text).value();
    SegmentCompressor compressor(compression);
    SegmentDecompressor decompressor;
    for (const auto& plain : codec_inputs()) {
      // Exactly the bound, so that a sanitizer sees a byte too many.
      std::vector<std::uint8_t> stored(stored_bytes_max(plain.size()));
      const auto length = compressor.compress(plain, stored);
      ASSERT_GT(length, 0U);
      ASSERT_LE(length, stored.size());
      stored.resize(length);
      std::vector<std::uint8_t> again(stored_bytes_max(plain.size()));
      again.resize(compressor.compress(plain, again));
      EXPECT_EQ(stored, again) << text << ": the same input, other bytes";
      std::vector<std::uint8_t> out(plain.size());
      const auto done = decompressor.decompress(compression.codec, stored, out);
      ASSERT_TRUE(done) << text << " " << plain.size() << " " << done.error().message();
      EXPECT_TRUE(out == plain);
    }
  }
}

TEST(SegmentCodec, AnotherLengthThanExpectedIsRefused) {
  const auto plain = random_bytes(10000, 1);
  for (const auto* text : {"none", "gzip", "zstd"}) {
    const auto compression = parse_compression(text).value();
    std::vector<std::uint8_t> stored(stored_bytes_max(plain.size()));
    stored.resize(SegmentCompressor(compression).compress(plain, stored));
    SegmentDecompressor decompressor;
    for (const std::size_t size : {std::size_t{1}, plain.size() - 1, plain.size() + 1, plain.size() * 2}) {
      std::vector<std::uint8_t> out(size);
      EXPECT_FALSE(decompressor.decompress(compression.codec, stored, out)) << text << " " << size;
    }
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, stored.size() - 1}) {
      std::vector<std::uint8_t> out(plain.size());
      EXPECT_FALSE(decompressor.decompress(compression.codec, std::span(stored).first(size), out)) << text << size;
    }
    auto longer = stored;
    longer.push_back(0);
    std::vector<std::uint8_t> out(plain.size());
    EXPECT_FALSE(decompressor.decompress(compression.codec, longer, out)) << text;
    EXPECT_TRUE(decompressor.decompress(compression.codec, stored, out)) << text << ": not usable after a failure";
  }
}

TEST(SegmentCodec, ABombIsRefusedAndWritesNothingPastTheSegment) {
  const std::vector<std::uint8_t> gigantic(64 << 20);
  std::vector<std::uint8_t> bomb(ZSTD_compressBound(gigantic.size()));
  bomb.resize(ZSTD_compress(bomb.data(), bomb.size(), gigantic.data(), gigantic.size(), 19));
  ASSERT_LT(bomb.size(), std::size_t{kSegmentBytesMin});
  std::vector<std::uint8_t> memory(kSegment + 4096, 0xee);
  SegmentDecompressor decompressor;
  EXPECT_FALSE(decompressor.decompress(Codec::kZstd, bomb, std::span(memory).first(kSegment)));
  for (std::size_t i = kSegment; i < memory.size(); ++i) ASSERT_EQ(memory[i], 0xee);
}

TEST(AllZero, FindsASingleByteAnywhere) {
  for (std::size_t size : {1, 2, 15, 16, 17, 4096}) {
    std::vector<std::uint8_t> bytes(size);
    EXPECT_TRUE(all_zero(bytes));
    for (std::size_t at = 0; at < size; ++at) {
      bytes[at] = 0x80;
      EXPECT_FALSE(all_zero(bytes)) << size << " " << at;
      bytes[at] = 0;
    }
  }
  EXPECT_TRUE(all_zero({}));
}

// ---- range set ----

TEST(RangeSet, AgreesWithABitmap) {
  constexpr std::uint64_t kUniverse = 200;
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    RangeSet set;
    std::vector<bool> bits(kUniverse);
    for (int step = 0; step < 30; ++step) {
      const auto begin = random() % kUniverse;
      const auto length = random() % std::min<std::uint64_t>(kUniverse - begin + 1, 20);
      set.add({begin, length});
      std::fill_n(bits.begin() + static_cast<std::ptrdiff_t>(begin), length, true);

      std::vector<Range> expected;
      for (std::uint64_t i = 0; i < kUniverse; ++i) {
        if (!bits[i]) continue;
        if (!expected.empty() && expected.back().end() == i) {
          ++expected.back().length_bytes;
        } else {
          expected.push_back({i, 1});
        }
      }
      ASSERT_EQ(set.ranges(), expected);
      ASSERT_EQ(set.total_bytes(), static_cast<std::uint64_t>(std::count(bits.begin(), bits.end(), true)));
      ASSERT_EQ(set.empty(), expected.empty());
      const auto asked = random() % kUniverse;
      const auto size = 1 + random() % (kUniverse - asked);
      const auto from = bits.begin() + static_cast<std::ptrdiff_t>(asked);
      ASSERT_EQ(set.contains({asked, size}),
                std::all_of(from, from + static_cast<std::ptrdiff_t>(size), [](bool bit) { return bit; }));
    }
  }
}

}  // namespace
}  // namespace drseed::seed
