#pragma once
// A mirror's bitmap file: the slots' bits, the activity log and the state record, each replaced so that a crash at any
// instant leaves a superset of what was last durable (bitmap/FORMAT.md).
//
// Reading never fails for damage inside a slot: what does not prove itself reads as all dirty, and damage() lists it.
// What names the file (header) or gives the slots their meaning (state record) has copies; without one left, open()
// fails. A failed write or sync fails the file for good: every later call returns that error. One thread at a time.

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bitmap/bitmap_format.h"
#include "bitmap/bitmap_store.h"

namespace drseed::bitmap {

// Something that did not prove itself.
struct Damage {
  std::string what;                // "header", "state record", "activity log", "table", "page"
  std::uint64_t offset_bytes = 0;  // in the file
  std::uint64_t length_bytes = 0;
  std::optional<SlotId> slot;
  std::uint64_t blocks_dirty = 0;  // at most so many read as dirty for it; 0: another copy is good
};

class BitmapFile {
 public:
  // Writes an empty file into a store that reads as zeros and is as large as Layout::file_bytes().
  static Result<> format(BitmapStore& store, const FileInfo& info, const StateRecord& state);
  // kDiffers where the file is none, of another version or size, or without a state record.
  static Result<BitmapFile> open(std::unique_ptr<BitmapStore> store);

  const FileInfo& info() const { return info_; }
  std::string name() const { return store_->name(); }
  const StateRecord& state() const { return state_; }
  // Both copies of one state record are bad, which no crash does: the other one may be too old, so that every slot
  // reads as all dirty.
  bool state_doubtful() const { return state_doubtful_; }
  // Every log record was lost: all regions count as logged.
  bool log_lost() const { return log_lost_; }
  const std::vector<RegionIndex>& logged_regions() const { return logged_; }
  const std::vector<Damage>& damage() const { return damage_; }

  // A slot's bits as they are stored; pages are marked as unchanged. Without the regions of the activity log.
  DirtyBitmap load(SlotId slot);
  // Sets the regions of the activity log: what a slot stands for after a crash.
  void add_logged(DirtyBitmap& bits) const;

  // Durable when it returns. Of one slot; pages in any order, each at most once.
  Result<> save(SlotId slot, std::span<const PageImage> pages);
  // Makes all pages of a slot clear or set, whatever they were; for a slot about to be used.
  Result<> reset(SlotId slot, bool set);
  Result<> commit_state(const StateRecord& state);
  // Precondition: regions ascend, and are at most info().log_regions.
  Result<> commit_log(std::span<const RegionIndex> regions);
  // Writes everything anew that damage() may list. Slots must have been loaded before, to be judged.
  Result<> repair();

 private:
  BitmapFile(std::unique_ptr<BitmapStore> store, const FileInfo& info)
      : store_(std::move(store)), info_(info), layout_(info), tables_(kSlots), unequal_(kSlots) {}

  std::uint64_t record_offset(RecordKind kind, unsigned which, unsigned copy) const {
    return kind == RecordKind::kState ? layout_.record(which, copy) : layout_.log(which, copy);
  }
  std::optional<Record> read_record(RecordKind kind, std::string_view what);
  Result<> write_record(RecordKind kind, Record record);
  Result<> read_state();
  void read_log();
  std::vector<PageState>& table(SlotId slot);
  void read_page(SlotId slot, std::uint64_t page, DirtyBitmap& bits);
  Result<> write_pages(SlotId slot, std::span<const PageImage> pages);
  Result<> write_table(SlotId slot, const std::vector<std::uint64_t>& sectors);
  // Keeps the first failure of a write.
  Result<> guard(Result<> result);

  std::unique_ptr<BitmapStore> store_;
  FileInfo info_;
  Layout layout_;
  StateRecord state_;
  std::uint64_t state_sequence_ = 0;
  std::uint64_t log_sequence_ = 0;
  std::vector<RegionIndex> logged_;
  bool log_lost_ = false;
  std::vector<std::vector<PageState>> tables_;    // by slot; empty: not read yet
  std::vector<std::set<std::uint64_t>> unequal_;  // by slot: sectors of the table whose two copies are not the same
  bool state_doubtful_ = false;
  std::vector<Damage> damage_;
  std::optional<Error> failure_;
};

}  // namespace drseed::bitmap
