#pragma once
// What really happened: every write that a client submitted, when, to whom, whether it was acknowledged; and the
// reigns, each a time that one node was in service, with what its disk held at the begin. Checkers judge by it alone.

#include <span>

#include "replicator/core/types.h"
#include "tests/sim/tags.h"

namespace drseed::sim {

struct Write {
  WriteId id = 0;
  std::uint32_t reign = 0;
  std::uint64_t first = 0, count = 0;  // sectors
  bool zero = false;
  Serial submitted = 0;
  Serial acked = 0;                  // 0: not, or with an error
  replicator::NodeMask held = 0;     // nodes that must hold it or something later
  replicator::NodeMask durable = 0;  // those that must even after a power cut
  replicator::NodeMask owners = 0;   // nodes to which it belongs: check_overwrite.h
  bool covers(std::uint64_t sector) const { return sector >= first && sector < first + count; }
  // Of an earlier reign, or acknowledged before `later` was submitted.
  bool before(const Write& later) const {
    return reign < later.reign || (reign == later.reign && acked != 0 && acked < later.submitted);
  }
};

struct Reign {
  replicator::NodeIndex node = replicator::kNoNode;
  bool forced = false;
  Tags base;
  std::vector<std::vector<WriteId>> by_sector;
  std::vector<WriteId> writes;
};

class Oracle {
 public:
  // Reign 0: the content before the history, under `generation`.
  Oracle(Tags initial, const replicator::Generation& generation);

  WriteId submit(std::uint32_t reign, std::uint64_t first, std::uint64_t count, bool zero, Serial now);
  Write& write(WriteId id) { return writes_[id - 1]; }
  const Write& write(WriteId id) const { return writes_[id - 1]; }
  std::vector<Write>& writes() { return writes_; }
  std::size_t write_count() const { return writes_.size(); }

  std::uint32_t begin_reign(replicator::NodeIndex node, bool forced, const Tags& base);
  const Reign& reign(std::uint32_t number) const { return reigns_[number]; }
  std::size_t reign_count() const { return reigns_.size(); }
  void name_generation(const replicator::Generation& generation, std::uint32_t reign);
  // Nothing known: -1.
  int reign_of(const replicator::Generation& generation) const;

  // May `sector` hold `tag`, once `write` is on the disk: the write itself or one not before it?
  bool holds(Tag tag, const Write& write, std::uint64_t sector, std::span<const WriteId> candidates_for_zero) const;

 private:
  std::vector<Write> writes_;
  std::vector<Reign> reigns_;
  std::vector<std::pair<replicator::Generation, std::uint32_t>> generations_;
};

}  // namespace drseed::sim
