#pragma once
// A data disk that can lose power. A write may be on the medium from its submission on and is visible from its
// completion on; a flush makes durable what had completed when it began. After a crash each sector holds its durable
// content or any one of the later writes of it, so that writes tear by themselves. Copyable, for "what if".
//
// Rot changes what reads return, and what is written from such a read; visible() and durable() say what was written,
// so that checkers judge the replicator and not the medium.

#include <span>

#include "tests/sim/random.h"
#include "tests/sim/tags.h"

namespace drseed::sim {

class SimDisk {
 public:
  explicit SimDisk(std::uint64_t sectors)
      : durable_(sectors), visible_(sectors), rot_(sectors), durable_rot_(sectors), pending_(sectors) {}

  std::uint64_t sectors() const { return visible_.size(); }
  const Tags& visible() const { return visible_; }
  const Tags& durable() const { return durable_; }  // what a crash cannot take away
  const std::vector<bool>& rot() const { return rot_; }
  Tags read(std::uint64_t first, std::uint64_t count) const;

  void start_write(std::uint64_t op, std::uint64_t first, std::span<const Tag> tags);
  void end_write(std::uint64_t op);
  void start_flush(std::uint64_t op);
  void end_flush(std::uint64_t op);

  // Visible and durable at once: an image written to it. Precondition: no write under way.
  void put(std::uint64_t first, std::span<const Tag> tags);
  // False: a write is not durable yet.
  bool make_rotten(std::uint64_t sector);
  bool was_ever_rotten() const { return ever_rotten_; }

  // Power back.
  void crash(Random& random);
  // The daemon ended, the machine did not: each write under way happened or not, nothing else is lost.
  void abandon(Random& random);

 private:
  struct Version {
    Tag tag = 0;
    std::uint64_t op = 0;
    Serial completed = 0;  // 0: under way
  };
  struct UnderWay {
    std::uint64_t op = 0;
    std::uint64_t first = 0;  // of a write
    std::uint64_t count = 0;  // 0: a flush
    Serial completions = 0;   // of a flush: how many writes had completed when it began
  };
  UnderWay take(std::uint64_t op);
  void set_visible(std::uint64_t sector, Tag tag) {
    visible_[sector] = without_rot(tag);
    rot_[sector] = (tag & kRotten) != 0;
  }
  void set_durable(std::uint64_t sector, Tag tag) {
    durable_[sector] = without_rot(tag);
    durable_rot_[sector] = (tag & kRotten) != 0;
  }

  Tags durable_;
  Tags visible_;
  std::vector<bool> rot_;  // of what is visible
  std::vector<bool> durable_rot_;
  std::vector<std::vector<Version>> pending_;  // by sector, in the order of completion; those under way last
  std::vector<std::uint64_t> dirty_;           // sectors with pending versions, some perhaps twice
  std::vector<UnderWay> under_way_;
  Serial completions_ = 0;
  bool ever_rotten_ = false;
};

}  // namespace drseed::sim
