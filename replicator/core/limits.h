#pragma once
// Every bound of the core, with its reason.

#include <cstdint>

namespace drseed::replicator {

constexpr std::uint32_t kNodesMax = 8;              // one source and at most 7 targets
constexpr std::uint64_t kPieceBytesMax = 1 << 20;   // larger requests are split, so that one never takes the log (R15)
constexpr std::uint32_t kResyncBytesMax = 1 << 20;  // of one range: a large frame, a short hold on live writes
constexpr std::uint32_t kResyncRangesMax = 16;      // under way at a time for each target
constexpr std::uint32_t kCheckBytesMax = 64 << 10;  // of one hash: what a single difference costs
constexpr std::uint32_t kRememberedWritesMax = 1 << 16;  // not yet durable everywhere; then writes wait for a flush
constexpr std::uint32_t kLineageMax = 64;                // older generations are forgotten: their peers are "foreign"
constexpr std::uint32_t kGenerationShift = 40;           // sequences of generation n begin at n << 40
constexpr std::uint32_t kSeedsMax = 8;
constexpr std::uint32_t kMapRunsPerFrame = 4096;
constexpr std::uint32_t kUndurableWritesMax = 256;  // on a target, before it flushes without being asked

}  // namespace drseed::replicator
