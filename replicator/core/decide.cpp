#include "replicator/core/decide.h"

#include <fmt/format.h>

#include <algorithm>

namespace drseed::replicator {
namespace {

std::optional<std::size_t> index_in(const Lineage& lineage, const Generation& generation) {
  const auto found = std::find_if(lineage.begin(), lineage.end(),
                                  [&](const LineageEntry& entry) { return entry.generation == generation; });
  if (found == lineage.end()) return std::nullopt;
  return static_cast<std::size_t>(found - lineage.begin());
}

const Generation& generation_of(const NodeView& view) {
  return view.lineage.back().generation;
}

bool shares_history(const Lineage& a, const Lineage& b) {
  return std::any_of(a.begin(), a.end(), [&](const LineageEntry& entry) { return index_in(b, entry.generation); });
}

std::string short_text(const Generation& generation) {
  return to_string(generation).substr(0, 8);
}

std::string state_text(const NodeView& view) {
  if (view.lineage.empty()) return "blank";
  return fmt::format("generation {} at {}{}", short_text(generation_of(view)),
                     view.high == kAnySequence ? "an unknown sequence" : fmt::format("sequence {}", view.low),
                     view.inconsistent ? ", half resynced" : "");
}

Decision partial_or_consent(Row row, const NodeView& source, const NodeView& target, std::string why) {
  if (!source.slot_valid || !target.slot_valid) {
    return {Row::kBeforeBase, Resync::kConsent,
            fmt::format("{}, but the {} has not tracked every change for the other: only a full or checksum resync "
                        "would be right",
                        why, source.slot_valid ? "target" : "source")};
  }
  if (target.low < source.base) {
    return {
        Row::kBeforeBase, Resync::kConsent,
        fmt::format("{}, but it had confirmed sequence {} and its record ends before: its disk was set back, or the "
                    "seed is stale; a full or checksum resync is needed",
                    why, source.base)};
  }
  return {row, Resync::kPartial, std::move(why)};
}

// The image holds writes that this source never got, and they are in no map: the old source had it (R10).
Decision seed_beyond(const NodeView& target) {
  return {Row::kSeed, Resync::kConsent,
          fmt::format("the target was seeded ({}) from writes beyond the point at which this history left that "
                      "generation: only a full or checksum resync would be right",
                      state_text(target))};
}

}  // namespace

std::string_view name_of(Row row) {
  constexpr std::string_view kNames[] = {"refused: another mirror",
                                         "refused: another size",
                                         "refused: target in service",
                                         "refused: target is newer",
                                         "split brain",
                                         "split brain, victim named",
                                         "inconsistent elsewhere",
                                         "same",
                                         "on lineage",
                                         "tail of an old source",
                                         "before base",
                                         "seed",
                                         "blank",
                                         "nothing in common"};
  static_assert(std::size(kNames) == kRows);
  return kNames[static_cast<int>(row)];
}

Relation relation_of(const Lineage& lineage, const Generation& generation, Sequence sequence) {
  const auto index = index_in(lineage, generation);
  if (!index) return Relation::kUnrelated;
  if (*index + 1 == lineage.size()) return Relation::kEqual;
  return sequence <= lineage[*index + 1].forked_at ? Relation::kAncestor : Relation::kTail;
}

Decision decide(const NodeView& source, const NodeView& target) {
  if (source.mirror != target.mirror) {
    return {
        Row::kRefusedMirror, Resync::kRefused,
        fmt::format("source is of mirror {}, target of mirror {}", to_string(source.mirror), to_string(target.mirror))};
  }
  if (source.volume_bytes != target.volume_bytes) {
    return {Row::kRefusedSize, Resync::kRefused,
            fmt::format("source has {} bytes, target {} bytes", source.volume_bytes, target.volume_bytes)};
  }
  const bool blank = target.lineage.empty();
  const auto relation = blank ? Relation::kUnrelated : relation_of(source.lineage, generation_of(target), target.high);
  if (target.in_service) {
    const bool split = !blank && (source.in_service || relation == Relation::kUnrelated);
    return {
        split ? Row::kSplitBrain : Row::kRefusedInService, Resync::kRefused,
        fmt::format("the target is in service itself ({}); take one of the two out of service", state_text(target))};
  }
  if (blank) {
    return {Row::kBlank, Resync::kConsent, "the target has no history: an initial sync, full or checksum"};
  }
  if (source.lineage.empty()) return {Row::kNewerPeer, Resync::kRefused, "the source has no history, the target has"};
  if (relation == Relation::kUnrelated) {
    if (!shares_history(source.lineage, target.lineage))
      return {Row::kForeign, Resync::kConsent,
              fmt::format("nothing in common with the target's {}", state_text(target))};
    if (target.seed) return seed_beyond(target);
    if (target.inconsistent) {
      return partial_or_consent(Row::kInconsistentElsewhere, source, target,
                                fmt::format("the target was half resynced by another source ({})", state_text(target)));
    }
    if (target.discard) {
      return partial_or_consent(Row::kVictim, source, target, "an operator gave up what the target wrote for itself");
    }
    const auto back = relation_of(target.lineage, generation_of(source), source.high);
    if (back == Relation::kAncestor) {
      return {Row::kNewerPeer, Resync::kRefused,
              fmt::format("the target's history ({}) goes on where the source's ends: the target must be the source",
                          state_text(target))};
    }
    if (back == Relation::kTail && index_in(target.lineage, generation_of(source))) {
      return {
          Row::kNewerPeer, Resync::kRefused,
          fmt::format("the target went on for itself ({}) and this source has written nothing that begins a history of "
                      "its own: take the source out of service, the target must be the source",
                      state_text(target))};
    }
    return {Row::kSplitBrain, Resync::kRefused,
            fmt::format("both wrote for themselves since they parted (source {}, target {}): name the one to give up",
                        state_text(source), state_text(target))};
  }
  if (target.seed && relation == Relation::kTail) return seed_beyond(target);
  if (target.seed) {
    return partial_or_consent(Row::kSeed, source, target,
                              fmt::format("the target was seeded ({})", state_text(target)));
  }
  if (relation == Relation::kTail) {
    return partial_or_consent(
        Row::kTail, source, target,
        fmt::format("the target holds the tail of an old source ({}); it is undone", state_text(target)));
  }
  auto decision =
      partial_or_consent(Row::kOnLineage, source, target, fmt::format("the target is at {}", state_text(target)));
  if (decision.resync == Resync::kPartial && relation == Relation::kEqual && source.map_empty && target.map_empty &&
      !target.inconsistent) {
    return {Row::kSame, Resync::kNothing, "both hold the same data"};
  }
  return decision;
}

std::string explain(const NodeView& source, const NodeView& target, std::uint64_t map_bytes) {
  const auto decision = decide(source, target);
  const auto outcome = [&]() -> std::string {
    switch (decision.resync) {
      case Resync::kRefused:
        return "nothing is overwritten";
      case Resync::kNothing:
        return "nothing to send";
      case Resync::kPartial:
        return fmt::format("partial resync: at most {} bytes of node {} are overwritten from node {}{}", map_bytes,
                           target.node, source.node,
                           decision.row == Row::kTail || decision.row == Row::kVictim
                               ? ", and what it wrote since they parted is lost"
                               : "");
      case Resync::kConsent:
        return fmt::format(
            "waits for an operator's consent to a full or checksum resync of {} bytes of node {} from node {}",
            source.volume_bytes, target.node, source.node);
    }
    return "";
  };
  return fmt::format("{}: {}. {}.", name_of(decision.row), decision.why, outcome());
}

}  // namespace drseed::replicator
