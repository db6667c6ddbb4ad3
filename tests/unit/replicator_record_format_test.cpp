// The node record's bytes; and the golden files of both formats of the replicator.

#include <gtest/gtest.h>

#include <cstdlib>

#include "replicator/core/record_format.h"
#include "tests/unit/replicator_format_test_support.h"

namespace drseed::replicator {
namespace {

TEST(NodeRecordFormat, RandomRecordsComeBackAsTheyWere) {
  Random random(1);
  for (int round = 0; round < 5000; ++round) {
    const auto record = random_record(random);
    ASSERT_TRUE(check_record(record)) << check_record(record).error().message();
    const auto bytes = encode_record(record);
    ASSERT_LE(bytes.size(), kNodeRecordBytesMax);
    const auto decoded = decode_record(bytes);
    ASSERT_TRUE(decoded) << decoded.error().message();
    ASSERT_EQ(*decoded, record);
  }
}

TEST(NodeRecordFormat, LargestRecordFitsIntoTheBitmapFile) {
  Random random(2);
  auto record = random_record(random);
  record.seeds.resize(kSeedsMax);
  for (auto& seed : record.seeds) seed.id = random_id_of(random);
  record.lineage = random_lineage(random, kLineageMax);
  EXPECT_EQ(encode_record(record).size(), kNodeRecordBytesMax);
  EXPECT_LE(kNodeRecordBytesMax, bitmap::kEngineBytesMax);
  EXPECT_EQ(decode_record(encode_record(record)), record);
}

TEST(NodeRecordFormat, EveryTruncationAndEveryFlippedBitIsRefused) {
  Random random(3);
  auto bytes = encode_record(random_record(random));
  for (std::size_t size = 0; size < bytes.size(); ++size) ASSERT_FALSE(decode_record(Bytes(bytes).first(size))) << size;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    const auto decoded = decode_record(bytes);
    ASSERT_FALSE(decoded) << "bit " << bit;
    ASSERT_EQ(decoded.error().code, ErrorCode::kDiffers);
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
  }
  bytes.push_back(0);
  EXPECT_FALSE(decode_record(bytes));
}

NodeRecord sample_record() {
  Random random(4);
  auto record = random_record(random);
  record.self = 1;
  record.members = {};
  record.peers = {};
  record.members[1] = {true, true, id_of(1), "dr1"};
  record.members[2] = {true, false, id_of(2), "dr2"};
  record.peers[2] = {true, false, first_of(2) + 9};
  record.seeds = {{id_of(7), "tape of june", first_of(1) + 3}, {id_of(8), "", first_of(2)}};
  record.lineage = {{id_of(1), 0}, {id_of(2), kAnySequence}, {id_of(3), first_of(2) + 7}};
  return record;
}

struct WrongRecord {
  const char* name;
  void (*change)(RecordBytes&);
  const char* says;
};
class WrongRecordField : public testing::TestWithParam<WrongRecord> {};

std::vector<std::uint8_t> with_right_check(std::vector<std::uint8_t> bytes) {
  bytes.erase(bytes.end() - sizeof(ul64), bytes.end());
  append(bytes, ul64{XXH3_64bits(bytes.data(), bytes.size())});
  return bytes;
}

void expect_refused(const std::vector<std::uint8_t>& bytes, std::string_view says) {
  const auto decoded = decode_record(with_right_check(bytes));
  ASSERT_FALSE(decoded) << says;
  EXPECT_EQ(decoded.error().code, ErrorCode::kDiffers);
  EXPECT_NE(decoded.error().message().find(says), std::string::npos) << decoded.error().message();
}

TEST_P(WrongRecordField, IsRefusedWithTheFieldsName) {
  auto bytes = encode_record(sample_record());
  auto head = struct_at<RecordBytes>(bytes, 0);
  GetParam().change(head);
  std::memcpy(bytes.data(), &head, sizeof head);
  expect_refused(bytes, GetParam().says);
}

#define RECORD(name, statement, says)                     \
  WrongRecord {                                           \
    name, [](RecordBytes& head) { head.statement; }, says \
  }

INSTANTIATE_TEST_SUITE_P(
    All, WrongRecordField,
    testing::Values(
        RECORD("magic", magic[0] = 'X', "node record: is none"), RECORD("version", version = 9, "version 9"),
        RECORD("bytes", bytes = 9, "length 9"), RECORD("volume", volume_bytes = 100, "volume size 100"),
        RECORD("low_above_high", low = (head.high = 4, 5), "sequence low 5 is above high 4"),
        RECORD("low_any", low = (head.high = kAnySequence, kAnySequence), "sequence low"),
        RECORD("flags", flags = 128, "flags 128"), RECORD("seed_without_flag", seed[3] = 1, "seed without its flag"),
        RECORD("self", self = 8, "self 8"), RECORD("self_absent", self = 3, "self 3"),
        RECORD("source", source = 8, "source 8"), RECORD("resync_source", resync_source = 254, "resync source 254"),
        RECORD("promise_node", promise_node = 8, "promise to node 8"), RECORD("seeds", seeds = 9, "seeds 9"),
        RECORD("seeds_other_length", seeds = 1, "length"), RECORD("generations", generations = 65, "generations 65"),
        RECORD("generations_other_length", generations = 4, "length"), RECORD("reserved", reserved[1] = 1, "reserved"),
        RECORD("member_flags", members[2].flags = 4, "member 2: flags 4"),
        RECORD("peer_flags", members[2].peer_flags = 4, "member 2: peer flags 4"),
        RECORD("member_reserved", members[2].reserved[0] = 1, "member 2: reserved"),
        RECORD("member_name", members[2].name[0] = '\x7f', "member 2: name"),
        RECORD("member_name_padding", members[2].name[47] = 'x', "member 2: name"),
        RECORD("member_base", members[2].base = kAnySequence, "member 2: base"),
        RECORD("absent_member", members[5].id[3] = 1, "member 5"),
        RECORD("absent_peer", members[5].base = 1, "member 5")),
    [](const auto& test) { return test.param.name; });

TEST(WrongRecord, WithASeedOrAGenerationTwiceIsRefused) {
  const auto bytes = encode_record(sample_record());
  const auto seeds = sizeof(RecordBytes);
  const auto lineage = seeds + 2 * sizeof(SeedBytes);
  auto changed = bytes;
  std::fill_n(changed.begin() + static_cast<std::ptrdiff_t>(seeds + sizeof(SeedBytes)), 16, 7);
  expect_refused(changed, "seed 07070707");
  changed = bytes;
  std::fill_n(changed.begin() + static_cast<std::ptrdiff_t>(lineage), 16, 3);
  expect_refused(changed, "lineage holds generation 03030303");
  changed = bytes;
  changed[seeds + 16] = '\n';
  expect_refused(changed, "seed's label");
  changed = bytes;
  std::fill_n(changed.begin() + static_cast<std::ptrdiff_t>(seeds + 64), 8, 0xff);
  expect_refused(changed, "seed's opened_at");
}

TEST(NodeRecordFormat, NameOf48BytesCannotBeKept) {
  auto record = sample_record();
  record.members[2].name.assign(48, 'x');
  const auto checked = check_record(record);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message().find("member 2: name has 48 bytes"), std::string::npos);
}

// ---- The formats cannot change by accident

void expect_golden(const std::string& name, const std::vector<std::uint8_t>& bytes) {
  const auto path = std::string(DRSEED_GOLDEN_FOLDER) + "/" + name;
  if (std::getenv("DRSEED_UPDATE_GOLDEN") != nullptr) {
    std::FILE* out = std::fopen(path.c_str(), "wb");
    ASSERT_NE(out, nullptr);
    EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), out), bytes.size());
    EXPECT_EQ(std::fclose(out), 0);
  }
  std::FILE* in = std::fopen(path.c_str(), "rb");
  ASSERT_NE(in, nullptr) << path;
  std::vector<std::uint8_t> golden(bytes.size() + 1);
  golden.resize(std::fread(golden.data(), 1, golden.size(), in));
  std::fclose(in);
  EXPECT_EQ(bytes, golden);
}

// After a change that is meant, raise kLinkVersion or kRecordVersion and run with DRSEED_UPDATE_GOLDEN=1.
TEST(LinkFormat, IsTheOneOfTheGoldenFile) {
  std::vector<std::uint8_t> bytes;
  append(bytes, encode_hello(sample_hello()));
  Random random(6);
  for_each_type([&](FrameType type) {
    const auto frame = sample_of(type, random).bytes();
    bytes.insert(bytes.end(), frame.begin(), frame.end());
  });
  for (const auto& message : {LinkMessage{MessageType::kPing, 7, ""},
                              {MessageType::kPong, 7, ""},
                              {MessageType::kGoodbye, 0, ""},
                              {MessageType::kError, 2, "no common version"},
                              {MessageType::kHashSecret, 0, std::string(kHashSecretBytes, 's')}}) {
    const auto frame = encode_message(message);
    bytes.insert(bytes.end(), frame.begin(), frame.end());
  }
  expect_golden("link.frames", bytes);
}

TEST(NodeRecordFormat, IsTheOneOfTheGoldenFile) {
  expect_golden("node.record", encode_record(sample_record()));
}

}  // namespace
}  // namespace drseed::replicator
