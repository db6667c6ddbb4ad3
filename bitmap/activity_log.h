#pragma once
// Which regions of a volume may have writes under way: a region is durable in the log before the first write to it
// starts, and leaves it only when it is clean. After a crash every logged region counts as dirty. Pure.
//
// The owner writes the records, flushes the disk and saves the bits; this says what and when. Requests start first
// come, first served; one that finds all its regions in the log may overtake, but never on a region that is being made
// free for others, so that nobody starves. Many requests share a commit; one is under way at a time. The number of
// regions is fixed; how many requests wait is the owner's to bound. A request on regions in the log allocates nothing.

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "bitmap/bitmap_format.h"

namespace drseed::bitmap {

class ActivityLog {
 public:
  using Ticket = std::uint64_t;

  struct Commit {
    std::uint64_t number = 0;
    std::vector<RegionIndex> regions;  // ascending; the log's whole content
  };
  // Regions to make clean: the disk flushed, so that their writes are durable here; and what a connected target does
  // not hold durably set in its slot, and the slots' bits saved.
  struct Cleaning {
    std::uint64_t number = 0;
    std::vector<RegionIndex> regions;
  };

  explicit ActivityLog(std::uint32_t regions_max = kLogRegionsDefault);

  // Regions found in the log after a crash. They are in it until they are cleaned. Precondition: nothing began yet.
  void adopt(std::span<const RegionIndex> regions);

  // True: the request may start. False: it waits, and committed() says when. Precondition: regions ascend
  // and are at most a quarter of regions_max.
  [[nodiscard]] bool begin(Ticket ticket, std::span<const RegionIndex> regions);
  // A request that started has ended on this node's disk (written, perhaps not durable). The same regions as at begin.
  void end(std::span<const RegionIndex> regions);

  // The record to write next, if there is one and none is under way. With `shrink`, also one that only drops clean
  // regions. Ask after every call that is not const.
  std::optional<Commit> next_commit(bool shrink = false);
  // That record is durable. Appends the tickets that may start now, in order.
  void committed(std::uint64_t number, std::vector<Ticket>& started);

  // What must be made clean for the log to go on; nothing while it has room.
  std::optional<Cleaning> next_cleaning();
  // Every region without a request under way, for going out of service.
  std::optional<Cleaning> clean_all();
  // A region that was written again since is not clean, and stays.
  void cleaned(const Cleaning& cleaning);

  bool logged(RegionIndex region) const { return entries_.contains(region); }
  std::vector<RegionIndex> regions() const;  // ascending; all that the newest durable record may hold, and more
  std::size_t region_count() const { return entries_.size(); }
  std::size_t waiting_count() const { return waiting_.size(); }
  std::uint64_t commit_count() const { return commits_; }

 private:
  enum class Phase : std::uint8_t {
    kEntering,  // in the record under way, not in the one before
    kHot,
    kDraining,  // to be cleaned once its requests have ended
    kCleaning,
    kClean,
    kLeaving,  // not in the record under way, but in the one before
  };
  struct Entry {
    Phase phase = Phase::kHot;
    std::uint32_t users = 0;
    std::uint64_t last_use = 0;
    std::uint64_t cleaning = 0;  // number of the cleaning that it is in
  };
  struct Request {
    Ticket ticket;
    std::vector<RegionIndex> regions;
  };

  bool may_start(std::span<const RegionIndex> regions, bool overtakes) const;
  void start(std::span<const RegionIndex> regions);
  std::size_t admit(std::vector<RegionIndex>& entering);
  void choose_victims(std::size_t count);
  std::optional<Cleaning> take_cleaning();

  const std::uint32_t regions_max_;
  std::unordered_map<RegionIndex, Entry> entries_;
  std::deque<Request> waiting_;
  std::vector<RegionIndex> to_clean_;  // drained, not handed out yet
  std::size_t shortage_ = 0;           // regions that the first waiting request lacks room for
  std::uint64_t clock_ = 0;
  std::uint64_t commits_ = 0;
  std::uint64_t cleanings_ = 0;
  bool commit_under_way_ = false;
};

}  // namespace drseed::bitmap
