// Seeds: slots of copies that are on their way as images, and the members that they become.
//
// A seed's slot is opened at an instant: writes that had completed by then are in the image; all others, those under
// way included, are dirty in the slot (R10). It travels in the stream, so that every target keeps it too. The image may
// hold writes up to its end: who came into service without them must not use the passport, and the lineage says so.

#include <algorithm>
#include <cassert>

#include "replicator/core/engine_state.h"

namespace drseed::replicator {

std::optional<std::size_t> EngineState::seed_index(const Id& id) const {
  for (std::size_t i = 0; i < record_.seeds.size(); ++i) {
    if (record_.seeds[i].id == id && id != Id{}) return i;
  }
  return std::nullopt;
}

// Takes a free place, whose slot becomes clear.
std::optional<std::size_t> EngineState::add_seed(SeedRecord seed) {
  auto place = static_cast<std::size_t>(std::find_if(record_.seeds.begin(), record_.seeds.end(),
                                                     [](const SeedRecord& other) { return other.id == Id{}; }) -
                                        record_.seeds.begin());
  if (place == kSeedsMax) return std::nullopt;
  if (place == record_.seeds.size()) record_.seeds.emplace_back();
  record_.seeds[place] = std::move(seed);
  slots_[kNodesMax + place].clear_all();
  return place;
}

void EngineState::set_in_seeds(bitmap::BlockRun blocks) {
  if (has_bug(Bug::kForgetSeedWrites)) return;
  for (std::size_t i = 0; i < record_.seeds.size(); ++i) {
    if (record_.seeds[i].id != Id{}) slots_[kNodesMax + i].set(blocks);
  }
}

void EngineState::open_seed(const Command& command) {
  const auto refuse = [&](std::string why) { emit(CommandDone{command.id, false, std::move(why)}); };
  if (role_ != Role::kSource) return refuse("a seed is opened on the source");
  if (command.seed == Id{} || seed_index(command.seed)) return refuse("a seed of this id is open");
  const auto open = std::find_if(remembered_.begin(), remembered_.end(), [](const Remembered& write) {
    return write.kind != RequestKind::kFlush && !write.local_done;
  });
  const Sequence opened_at = open == remembered_.end() ? last_sequence_ : open->sequence - 1;
  if (!add_seed({command.seed, command.member.name, opened_at})) return refuse("eight seeds are open: drop one first");
  for (const auto& write : remembered_) {
    if (write.kind != RequestKind::kFlush && write.sequence > opened_at) set_in_seeds(covering(write.range));
  }
  auto body = std::make_shared<FrameBody>();
  body->view.seed = command.seed;
  Frame frame;
  frame.type = FrameType::kSeedOpen;
  frame.sequence = opened_at;
  frame.body = std::move(body);
  for_each_other([&](NodeIndex node) {
    if (is_streaming(peers_[node].phase)) send(node, frame);
  });
  save_slots();
  commit_record([this, id = command.id] { emit(CommandDone{id, true, ""}); });
}

// On a target. While it is being resynced its disk is no copy of the source's: it keeps no slot then.
void EngineState::seed_opened(const Frame& frame) {
  const auto& id = *frame.body->view.seed;
  if ((stream_members_ & mask_of(record_.self)) == 0 || seed_index(id) || !add_seed({id, "", frame.sequence})) return;
  for (const auto& recent : recents_) {
    if (recent.sequence > frame.sequence) set_in_seeds(covering(recent.range));
  }
  save_slots();
  commit_record({});
}

void EngineState::drop_seed(const Command& command) {
  const auto index = seed_index(command.seed);
  if (!index) {
    emit(CommandDone{command.id, false, "no such seed is open here"});
    return;
  }
  record_.seeds[*index] = SeedRecord{};
  commit_record([this, id = command.id] { emit(CommandDone{id, true, ""}); });
}

void EngineState::extend(const Command& command) {
  const auto refuse = [&](std::string why) { emit(CommandDone{command.id, false, std::move(why)}); };
  if (command.peer >= kNodesMax || command.peer == record_.self || is_member(command.peer) || !command.member.present)
    return refuse("that place in the member table is taken");
  PeerRecord peer;
  if (command.seed != Id{}) {
    const auto index = seed_index(command.seed);
    if (!index) return refuse("no such seed is open here: it is stale, or of another mirror");
    // The slot is copied, never moved (R18).
    slots_[command.peer] = slots_[kNodesMax + *index].clone();
    slots_[command.peer].mark_all_changed();
    peer.slot_valid = true;
    peer.base = record_.seeds[*index].opened_at;
    for (const auto& write : remembered_) {
      if (write.kind != RequestKind::kFlush && write.sequence > peer.base)
        set_in_slot(command.peer, covering(write.range));
    }
  } else {
    slots_[command.peer].clear_all();
  }
  record_.members[command.peer] = command.member;
  record_.peers[command.peer] = peer;
  ++record_.members_version;
  save_slots();
  commit_record([this, id = command.id] { emit(CommandDone{id, true, ""}); });
}

std::optional<Engine::Passport> Engine::passport(const Id& seed) const {
  const auto index = state_->seed_index(seed);
  if (!index || state_->role_ != Role::kSource) return std::nullopt;
  return Passport{state_->record_.lineage, state_->record_.seeds[*index].opened_at, state_->last_sequence_};
}

}  // namespace drseed::replicator
