#pragma once
// The node record's bytes: the engine's part of the bitmap file's state record (replicator/FORMAT.md). Pure.
//
// The bitmap file keeps and replaces it as a whole. It carries its own checksum all the same: a record that is wrong
// makes a node overwrite, or be overwritten by, the wrong one.

#include "replicator/core/format_parts.h"

namespace drseed::replicator {

constexpr std::uint32_t kRecordVersion = 1;

struct MemberBytes {
  std::uint8_t flags;
  std::uint8_t peer_flags;
  std::array<std::uint8_t, 6> reserved;
  IdBytes id;
  NameBytes name;
  ul64 base;
};
static_assert(sizeof(MemberBytes) == 80 && alignof(MemberBytes) == 1);

struct SeedBytes {
  IdBytes id;
  NameBytes label;
  ul64 opened_at;
};
static_assert(sizeof(SeedBytes) == 72 && alignof(SeedBytes) == 1);

struct RecordBytes {  // then seeds, lineage, and the XXH3-64 of all bytes before it
  std::array<char, 8> magic;
  ul32 version;
  ul32 bytes;  // of the whole record, checksum included
  IdBytes mirror;
  ul64 volume_bytes;
  ul64 low;
  ul64 high;
  ul64 promise_counter;
  ul32 members_version;
  ul32 flags;
  std::uint8_t self;
  std::uint8_t source;
  std::uint8_t resync_source;
  std::uint8_t promise_node;
  std::uint8_t seeds;
  std::uint8_t generations;
  IdBytes seed;  // zeros without its flag
  std::array<std::uint8_t, 2> reserved;
  std::array<MemberBytes, kNodesMax> members;
};
static_assert(sizeof(RecordBytes) == 96 + kNodesMax * sizeof(MemberBytes) && alignof(RecordBytes) == 1);
static_assert(offsetof(RecordBytes, low) == 40 && offsetof(RecordBytes, self) == 72);

constexpr std::size_t kNodeRecordBytesMax =
    sizeof(RecordBytes) + kSeedsMax * sizeof(SeedBytes) + kLineageMax * sizeof(LineageBytes) + sizeof(ul64);

// Whether a record can be kept; kDiffers, naming the field.
Result<> check_record(const NodeRecord& record);

// Precondition: check_record; asserted.
std::vector<std::uint8_t> encode_record(const NodeRecord& record);
// kDiffers, naming the field: damaged, of another version, of another length, beyond the limits.
Result<NodeRecord> decode_record(Bytes bytes);

}  // namespace drseed::replicator
