#include "replicator/core/record_format.h"

#include <cassert>

#include "bitmap/bitmap_format.h"

namespace drseed::replicator {
namespace {

static_assert(kNodeRecordBytesMax <= bitmap::kEngineBytesMax);

constexpr std::array<char, 8> kMagic = {'d', 'r', 's', 'e', 'e', 'd', 'N', 'R'};

constexpr std::uint32_t kInconsistent = 1;
constexpr std::uint32_t kInService = 2;
constexpr std::uint32_t kLastOwner = 4;
constexpr std::uint32_t kDataCorrupt = 8;
constexpr std::uint32_t kOutdated = 16;
constexpr std::uint32_t kUnproven = 32;
constexpr std::uint32_t kSeeded = 64;
constexpr std::uint32_t kFlags = 127;

constexpr std::uint8_t kMemberPresent = 1;
constexpr std::uint8_t kMemberSync = 2;
constexpr std::uint8_t kPeerSlotValid = 1;
constexpr std::uint8_t kPeerPaused = 2;

MemberBytes encode_member(const Member& member, const PeerRecord& peer) {
  // Here and below every field is named, so that a new one does not compile until it has its place.
  const auto& [present, sync, id, name] = member;
  const auto& [slot_valid, paused, base] = peer;
  MemberBytes bytes{};
  bytes.flags = static_cast<std::uint8_t>((present ? kMemberPresent : 0) | (sync ? kMemberSync : 0));
  bytes.peer_flags = static_cast<std::uint8_t>((slot_valid ? kPeerSlotValid : 0) | (paused ? kPeerPaused : 0));
  bytes.id = id.bytes;
  bytes.name = encode_name(name);
  bytes.base = base;
  return bytes;
}

Result<> decode_member(const MemberBytes& bytes, Member& member, PeerRecord& peer) {
  if (bytes.flags > (kMemberPresent | kMemberSync)) return wrong("flags", bytes.flags, "0 to 3");
  if (bytes.peer_flags > (kPeerSlotValid | kPeerPaused)) return wrong("peer flags", bytes.peer_flags, "0 to 3");
  if (!all_zero(bytes.reserved)) return fail(ErrorCode::kDiffers, "reserved bytes are not zero");
  member.present = (bytes.flags & kMemberPresent) != 0;
  member.sync = (bytes.flags & kMemberSync) != 0;
  member.id.bytes = bytes.id;
  member.name = DRSEED_TRY(decode_name("name", bytes.name));
  peer.slot_valid = (bytes.peer_flags & kPeerSlotValid) != 0;
  peer.paused = (bytes.peer_flags & kPeerPaused) != 0;
  peer.base = bytes.base;
  return {};
}

Result<> check_member(const Member& member, const PeerRecord& peer) {
  DRSEED_TRY(check_name("name", member.name));
  if (!member.present && (member != Member{} || peer != PeerRecord{}))
    return fail(ErrorCode::kDiffers, "is absent, but has an entry");
  if (peer.base == kAnySequence) return fail(ErrorCode::kDiffers, "base is not a sequence");
  return {};
}

Result<> check_seeds(const std::vector<SeedRecord>& seeds) {
  if (seeds.size() > kSeedsMax) return wrong("seeds", seeds.size(), "at most 8");
  for (auto seed = seeds.begin(); seed != seeds.end(); ++seed) {
    DRSEED_TRY(check_name("seed's label", seed->label));
    if (seed->opened_at == kAnySequence) return fail(ErrorCode::kDiffers, "seed's opened_at is not a sequence");
    const auto twice = [&](const SeedRecord& other) { return other.id == seed->id && other.id != Id{}; };
    if (std::any_of(std::next(seed), seeds.end(), twice))
      return fail(ErrorCode::kDiffers, "seed {} is there twice", to_string(seed->id));
  }
  return {};
}

Result<> check_fields(const NodeRecord& record) {
  DRSEED_TRY(check_volume_bytes(record.volume_bytes));
  if (record.self >= kNodesMax) return wrong("self", record.self, "a member, 0 to 7");
  if (!record.members[record.self].present) return wrong("self", record.self, "a member that is present");
  for (std::size_t i = 0; i < kNodesMax; ++i)
    DRSEED_TRY(within(fmt::format("member {}", i), check_member(record.members[i], record.peers[i])));
  DRSEED_TRY(check_seeds(record.seeds));
  DRSEED_TRY(check_lineage(record.lineage));
  DRSEED_TRY(check_sequences(record.low, record.high));
  DRSEED_TRY(check_node_or_none("resync source", record.resync_source));
  DRSEED_TRY(check_node_or_none("source", record.source));
  return check_node_or_none("promise to node", record.promise.node);
}

// Precondition: the bytes hold a head and a check, and prove themselves.
Result<NodeRecord> decode_fields(const RecordBytes& head, Bytes rest) {
  if (head.seeds > kSeedsMax) return wrong("seeds", head.seeds, "at most 8");
  if (head.generations > kLineageMax) return wrong("generations", head.generations, "at most 64");
  const std::size_t seeds_bytes = head.seeds * sizeof(SeedBytes);
  if (rest.size() != seeds_bytes + head.generations * sizeof(LineageBytes))
    return wrong("length", head.bytes, "that of its seeds and generations");
  if (head.flags > kFlags) return wrong("flags", head.flags, "0 to 127");
  if (!all_zero(head.reserved)) return fail(ErrorCode::kDiffers, "reserved bytes are not zero");
  if ((head.flags & kSeeded) == 0 && !all_zero(head.seed)) return fail(ErrorCode::kDiffers, "seed without its flag");
  NodeRecord record;
  if ((head.flags & kSeeded) != 0) record.seed = Id{head.seed};
  record.mirror.bytes = head.mirror;
  record.volume_bytes = head.volume_bytes;
  record.self = head.self;
  record.members_version = head.members_version;
  for (std::size_t i = 0; i < kNodesMax; ++i) {
    DRSEED_TRY(within(fmt::format("member {}", i), decode_member(head.members[i], record.members[i], record.peers[i])));
  }
  for (std::size_t i = 0; i < head.seeds; ++i) {
    const auto seed = struct_at<SeedBytes>(rest, i * sizeof(SeedBytes));
    record.seeds.push_back({Id{seed.id}, DRSEED_TRY(decode_name("seed's label", seed.label)), seed.opened_at});
  }
  record.lineage = DRSEED_TRY(decode_lineage(rest.subspan(seeds_bytes)));
  record.low = head.low;
  record.high = head.high;
  const std::uint32_t flags = head.flags;
  record.inconsistent = (flags & kInconsistent) != 0;
  record.resync_source = head.resync_source;
  record.in_service = (flags & kInService) != 0;
  record.last_owner = (flags & kLastOwner) != 0;
  record.source = head.source;
  record.data_corrupt = (flags & kDataCorrupt) != 0;
  record.outdated = (flags & kOutdated) != 0;
  record.unproven = (flags & kUnproven) != 0;
  record.promise = {head.promise_counter, head.promise_node};
  DRSEED_TRY(check_fields(record));
  return record;
}

}  // namespace

Result<> check_record(const NodeRecord& record) {
  return within("node record", check_fields(record));
}

std::vector<std::uint8_t> encode_record(const NodeRecord& record) {
  assert(check_record(record));
  const auto& [mirror, volume_bytes, self, members_version, members, peers, seeds, lineage, low, high, inconsistent,
               resync_source, in_service, last_owner, source, data_corrupt, outdated, unproven, promise, seed] = record;
  RecordBytes head{};
  head.magic = kMagic;
  head.version = kRecordVersion;
  head.bytes = static_cast<std::uint32_t>(sizeof head + seeds.size() * sizeof(SeedBytes) +
                                          lineage.size() * sizeof(LineageBytes) + sizeof(ul64));
  head.mirror = mirror.bytes;
  head.volume_bytes = volume_bytes;
  head.low = low;
  head.high = high;
  head.promise_counter = promise.counter;
  head.members_version = members_version;
  head.flags = (inconsistent ? kInconsistent : 0) | (in_service ? kInService : 0) | (last_owner ? kLastOwner : 0) |
               (data_corrupt ? kDataCorrupt : 0) | (outdated ? kOutdated : 0) | (unproven ? kUnproven : 0) |
               (seed ? kSeeded : 0);
  if (seed) head.seed = seed->bytes;
  head.self = self;
  head.source = source;
  head.resync_source = resync_source;
  head.promise_node = promise.node;
  head.seeds = static_cast<std::uint8_t>(seeds.size());
  head.generations = static_cast<std::uint8_t>(lineage.size());
  for (std::size_t i = 0; i < kNodesMax; ++i) head.members[i] = encode_member(members[i], peers[i]);
  std::vector<std::uint8_t> out;
  out.reserve(head.bytes);
  append(out, head);
  for (const auto& [id, label, opened_at] : seeds) append(out, SeedBytes{id.bytes, encode_name(label), opened_at});
  append_lineage(out, lineage);
  append(out, ul64{XXH3_64bits(out.data(), out.size())});
  assert(out.size() == head.bytes);
  return out;
}

Result<NodeRecord> decode_record(Bytes bytes) {
  const auto decode = [&]() -> Result<NodeRecord> {
    if (bytes.size() < sizeof(RecordBytes) + sizeof(ul64) || bytes.size() > kNodeRecordBytesMax)
      return wrong("length", bytes.size(), "that of a record");
    const auto head = struct_at<RecordBytes>(bytes, 0);
    if (head.magic != kMagic) return fail(ErrorCode::kDiffers, "is none");
    const auto before = bytes.first(bytes.size() - sizeof(ul64));
    if (struct_at<ul64>(bytes, before.size()) != XXH3_64bits(before.data(), before.size()))
      return fail(ErrorCode::kDiffers, "damaged (checksum)");
    if (head.version != kRecordVersion) {
      return fail(ErrorCode::kDiffers, "format version {}, this drseed reads {}",
                  static_cast<std::uint32_t>(head.version), kRecordVersion);
    }
    if (head.bytes != bytes.size()) return wrong("length", head.bytes, "the bytes there are");
    return decode_fields(head, before.subspan(sizeof head));
  };
  return within("node record", decode());
}

}  // namespace drseed::replicator
