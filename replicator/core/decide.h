#pragma once
// The handshake table (replicator/DESIGN.md): may this source overwrite this target, from what, and why. Pure.
//
// Both nodes call it with the same two views and act only if their answers agree.

#include <string>

#include "replicator/core/types.h"

namespace drseed::replicator {

enum class Row {
  kRefusedMirror,
  kRefusedSize,
  kRefusedInService,
  kNewerPeer,
  kSplitBrain,
  kVictim,  // of a split brain, named by an operator
  kInconsistentElsewhere,
  kSame,
  kOnLineage,
  kTail,
  kBeforeBase,
  kSeed,
  kBlank,
  kForeign,
};
constexpr int kRows = static_cast<int>(Row::kForeign) + 1;
std::string_view name_of(Row row);

enum class Resync { kRefused, kNothing, kPartial, kConsent };  // kConsent: full or checksum, if an operator agreed

struct Decision {
  Row row = Row::kRefusedMirror;
  Resync resync = Resync::kRefused;
  std::string why;  // a sentence for a person, with both values
};

// Precondition: `source` is in service or about to be.
Decision decide(const NodeView& source, const NodeView& target);

// The whole answer for a person, without acting: who is overwritten from whom, from what, and why. `map_bytes`: of the
// union of both maps, for a partial resync.
std::string explain(const NodeView& source, const NodeView& target, std::uint64_t map_bytes);

// Where a state (generation, sequence) stands to a lineage.
enum class Relation {
  kEqual,      // the lineage's newest generation
  kAncestor,   // an older generation, at or before the point at which the lineage left it
  kTail,       // an older generation, beyond that point
  kUnrelated,  // a generation that the lineage does not have
};
Relation relation_of(const Lineage& lineage, const Generation& generation, Sequence sequence);

}  // namespace drseed::replicator
