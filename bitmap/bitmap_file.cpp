#include "bitmap/bitmap_file.h"

#include <algorithm>

namespace drseed::bitmap {
namespace {

Bytes bytes_of(const HeaderSector& header) {
  return {reinterpret_cast<const std::uint8_t*>(&header), sizeof header};
}

Result<> write_header(BitmapStore& store, const FileInfo& info) {
  const auto header = encode_header(info);
  DRSEED_TRY(store.write(0, bytes_of(header)));
  return store.write(Layout::kHeaderCopy2, bytes_of(header));
}

// The two copies of the header, or the first one's error.
Result<FileInfo> read_header(BitmapStore& store, std::vector<Damage>& damage) {
  std::array<Result<FileInfo>, 2> copies;
  for (unsigned copy = 0; copy < 2; ++copy) {
    std::array<std::uint8_t, kSectorBytes> sector{};
    const auto offset = copy * Layout::kHeaderCopy2;
    const auto read = store.read(offset, sector);
    copies[copy] = read ? decode_header(sector) : tl::unexpected(read.error());
    if (!copies[copy]) damage.push_back({"header", offset, kSectorBytes, std::nullopt, 0});
  }
  if (!copies[0] && !copies[1]) return copies[0];
  if (copies[0] && copies[1] && *copies[0] != *copies[1])
    return fail(ErrorCode::kDiffers, "header: its two copies are of different files");
  return copies[0] ? copies[0] : copies[1];
}

// Of two copies of what a page is, the one with more dirt.
PageState more_dirt(PageState a, PageState b) {
  if (a == PageState::kSet || b == PageState::kSet) return PageState::kSet;
  return a == PageState::kStored || b == PageState::kStored ? PageState::kStored : PageState::kClear;
}

}  // namespace

Result<> BitmapFile::guard(Result<> result) {
  if (!result && !failure_) failure_ = result.error();
  return result;
}

Result<> BitmapFile::format(BitmapStore& store, const FileInfo& info, const StateRecord& state) {
  DRSEED_TRY(check_info(info));
  const Layout layout(info);
  const auto write_both = [&](RecordKind kind, std::vector<std::uint8_t> payload) -> Result<> {
    for (unsigned which = 0; which < 2; ++which) {
      const auto bytes = encode_record(kind, info.file_id, {which + 1, payload});
      for (unsigned copy = 0; copy < 2; ++copy) {
        DRSEED_TRY(
            store.write(kind == RecordKind::kState ? layout.record(which, copy) : layout.log(which, copy), bytes));
      }
    }
    return {};
  };
  DRSEED_TRY(write_both(RecordKind::kState, encode_state(state)));
  DRSEED_TRY(write_both(RecordKind::kLog, {}));
  const std::vector<PageState> clear(kTablePagesPerSector, PageState::kClear);
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    if (state.slots[slot].kind == SlotKind::kFree) continue;
    for (unsigned copy = 0; copy < 2; ++copy) {
      for (std::uint64_t sector = 0; sector < layout.table_sectors(); ++sector) {
        std::array<std::uint8_t, kSectorBytes> bytes;
        encode_table_sector(info.file_id, SlotId(slot), copy, sector, clear, bytes);
        DRSEED_TRY(store.write(layout.table(SlotId(slot), copy, sector), bytes));
      }
    }
  }
  DRSEED_TRY(write_header(store, info));
  return store.sync();
}

Result<BitmapFile> BitmapFile::open(std::unique_ptr<BitmapStore> store) {
  // What a killed process wrote may be read now and yet be lost with the power: what is read must be durable, since
  // writes start on the strength of it.
  DRSEED_TRY(store->sync());
  std::vector<Damage> damage;
  const auto size = DRSEED_TRY(store->size_bytes());
  if (size < Layout::kRecordBegin)
    return fail(ErrorCode::kDiffers, "{}: {} bytes long, too short for a drseed bitmap file", store->name(), size);
  const auto info = read_header(*store, damage);
  if (!info) return fail(info.error().code, "{}: {}", store->name(), info.error().message());
  BitmapFile file(std::move(store), *info);
  file.damage_ = std::move(damage);
  if (size != file.layout_.file_bytes()) {
    return fail(ErrorCode::kDiffers,
                "{}: {} bytes long, expected {}; a part is missing or another file was joined to it", file.name(), size,
                file.layout_.file_bytes());
  }
  DRSEED_TRY(file.read_state());
  file.read_log();
  return file;
}

// The newest record of which a copy is whole. Both copies of a log record may be torn by a crash; of a state record,
// which is flushed between its copies, only one.
std::optional<Record> BitmapFile::read_record(RecordKind kind, std::string_view what) {
  const std::size_t copy_bytes = kind == RecordKind::kState ? kRecordBytesMax : layout_.log_copy_bytes();
  std::vector<std::uint8_t> bytes;
  std::optional<Record> newest;
  bool lost = false;
  for (unsigned which = 0; which < 2; ++which) {
    std::array<std::optional<Record>, 2> copies;
    for (unsigned copy = 0; copy < 2; ++copy) {
      const auto offset = record_offset(kind, which, copy);
      bytes.resize(kSectorBytes);
      if (store_->read(offset, bytes)) {
        bytes.resize(record_bytes(bytes, copy_bytes));
        if (store_->read(offset, bytes)) copies[copy] = decode_record(kind, info_.file_id, bytes);
      }
      // Records of one place have numbers of one parity.
      if (copies[copy] && copies[copy]->sequence % 2 != (which + 1) % 2) copies[copy].reset();
      if (!copies[copy]) damage_.push_back({std::string(what), offset, copy_bytes, std::nullopt, 0});
    }
    lost |= !copies[0] && !copies[1];
    for (auto& copy : copies) {
      if (copy && (!newest || copy->sequence > newest->sequence)) newest = std::move(copy);
    }
  }
  if (lost && newest && kind == RecordKind::kState) {
    state_doubtful_ = true;
    damage_.back().blocks_dirty = info_.block_count();
  }
  return newest;
}

Result<> BitmapFile::read_state() {
  auto record = read_record(RecordKind::kState, "state record");
  if (!record) {
    return fail(ErrorCode::kDiffers,
                "{}: no copy of the state record is whole; nothing says what its slots are of. Make a new file with "
                "drseed bitmap create and a full or checksum resync",
                name());
  }
  auto state = decode_state(record->payload);
  if (!state) return fail(ErrorCode::kDiffers, "{}: {}", name(), state.error().message());
  state_ = std::move(*state);
  state_sequence_ = record->sequence;
  return {};
}

void BitmapFile::read_log() {
  const auto record = read_record(RecordKind::kLog, "activity log");
  auto regions = record ? decode_regions(record->payload, info_) : std::nullopt;
  log_sequence_ = record ? record->sequence : 0;
  log_lost_ = !regions;
  if (regions) logged_ = std::move(*regions);
  if (log_lost_) {
    damage_.push_back(
        {"activity log", layout_.log(0, 0), 4 * layout_.log_copy_bytes(), std::nullopt, info_.block_count()});
  }
}

std::vector<PageState>& BitmapFile::table(SlotId slot) {
  auto& states = tables_[index_of(slot)];
  if (!states.empty()) return states;
  states.resize(info_.page_count(), PageState::kSet);
  for (std::uint64_t sector = 0; sector < layout_.table_sectors(); ++sector) {
    const auto first = sector * kTablePagesPerSector;
    const auto count = std::min(kTablePagesPerSector, info_.page_count() - first);
    std::array<std::vector<PageState>, 2> copies;
    unsigned proven = 0;
    for (unsigned copy = 0; copy < 2; ++copy) {
      std::array<std::uint8_t, kSectorBytes> bytes;
      const auto offset = layout_.table(slot, copy, sector);
      auto& found = copies[copy];
      found.assign(count, PageState::kClear);
      const bool good =
          store_->read(offset, bytes) && decode_table_sector(info_.file_id, slot, copy, sector, bytes, found);
      proven += good;
      if (!good) damage_.push_back({"table", offset, kSectorBytes, slot, 0});
    }
    if (proven == 0) {
      const auto blocks = std::min(info_.block_count() - first * kPageBlocks, count * kPageBlocks);
      damage_.back().blocks_dirty = blocks;
      unequal_[index_of(slot)].insert(sector);
      continue;  // all set
    }
    for (std::uint64_t i = 0; i < count; ++i) states[first + i] = more_dirt(copies[0][i], copies[1][i]);
    if (proven == 2 && copies[0] != copies[1])
      damage_.push_back({"table", layout_.table(slot, 0, sector), kSectorBytes, slot, 0});
    if (proven < 2 || copies[0] != copies[1]) unequal_[index_of(slot)].insert(sector);
  }
  return states;
}

void BitmapFile::read_page(SlotId slot, std::uint64_t page, DirtyBitmap& bits) {
  std::array<std::uint8_t, kPageBytes> bytes;
  PageWords words;
  const auto offset = layout_.page(slot, page);
  // Sectors are read one by one only where the page as a whole cannot be: one bad sector dirties its own blocks.
  if (!store_->read(offset, bytes)) {
    for (std::size_t part = 0; part < kPageSectors; ++part) {
      const auto sector = MutableBytes(bytes).subspan(part * kSectorBytes, kSectorBytes);
      if (!store_->read(offset + part * kSectorBytes, sector)) std::fill(sector.begin(), sector.end(), 0);
    }
  }
  const auto damaged = decode_page(info_.file_id, slot, page, bytes, words);
  bits.load_page(page, words);
  if (damaged == 0) return;
  const auto blocks = std::min(kPageBlocks, info_.block_count() - page * kPageBlocks);
  damage_.push_back(
      {"page", offset, kPageBytes, slot, std::min<std::uint64_t>(blocks, damaged * kWordsPerSector * 64)});
}

DirtyBitmap BitmapFile::load(SlotId slot) {
  DirtyBitmap bits(info_.block_count());
  const auto& states = table(slot);
  for (std::uint64_t page = 0; page < states.size();) {
    if (states[page] == PageState::kStored) read_page(slot, page, bits);
    auto end = page + 1;
    if (states[page] == PageState::kSet) {
      while (end < states.size() && states[end] == PageState::kSet) ++end;
      const auto first = page * kPageBlocks;
      bits.set(BlockRun{first, std::min(end * kPageBlocks, info_.block_count()) - first});
    }
    page = end;
  }
  bits.mark_none_changed();
  if (state_doubtful_) bits.set_all();
  return bits;
}

void BitmapFile::add_logged(DirtyBitmap& bits) const {
  if (log_lost_) return bits.set_all();
  for (const auto region : logged_) {
    const auto offset = std::uint64_t{region} * info_.region_bytes;
    const auto length = std::min<std::uint64_t>(info_.region_bytes, info_.volume_bytes - offset);
    bits.set(blocks_covering(offset, length, info_.block_bytes));
  }
}

// Pages that follow each other are one write.
Result<> BitmapFile::write_pages(SlotId slot, std::span<const PageImage> pages) {
  constexpr std::size_t kPagesPerWrite = 64;
  std::vector<std::uint8_t> bytes;
  std::uint64_t first = 0;
  const auto flush = [&]() -> Result<> {
    if (bytes.empty()) return {};
    DRSEED_TRY(store_->write(layout_.page(slot, first), bytes));
    bytes.clear();
    return {};
  };
  for (const auto& image : pages) {
    if (image.state != PageState::kStored) continue;
    assert(image.page < info_.page_count());
    if (image.page != first + bytes.size() / kPageBytes || bytes.size() == kPagesPerWrite * kPageBytes)
      DRSEED_TRY(flush());
    if (bytes.empty()) first = image.page;
    bytes.resize(bytes.size() + kPageBytes);
    encode_page(info_.file_id, slot, image.page, *image.words, MutableBytes(bytes).last(kPageBytes));
  }
  return flush();
}

Result<> BitmapFile::write_table(SlotId slot, const std::vector<std::uint64_t>& sectors) {
  const auto& states = tables_[index_of(slot)];
  for (unsigned copy = 0; copy < 2; ++copy) {
    for (const auto sector : sectors) {
      std::array<std::uint8_t, kSectorBytes> bytes;
      const auto first = sector * kTablePagesPerSector;
      const auto count = std::min(kTablePagesPerSector, info_.page_count() - first);
      encode_table_sector(info_.file_id, slot, copy, sector, std::span(states).subspan(first, count), bytes);
      DRSEED_TRY(store_->write(layout_.table(slot, copy, sector), bytes));
    }
  }
  return store_->sync();
}

// First the pages, then the table that makes them count. A page that is rewritten in place holds, sector by sector, its
// old or its new bits at every instant; both are supersets.
Result<> BitmapFile::save(SlotId slot, std::span<const PageImage> pages) {
  if (failure_) return tl::unexpected(*failure_);
  auto& states = table(slot);
  std::vector<std::uint64_t> sectors;
  bool stored = false;
  // Copies of the table that a crash left unequal are made equal first of all.
  auto& unequal = unequal_[index_of(slot)];
  sectors.assign(unequal.begin(), unequal.end());
  for (const auto& image : pages) {
    stored |= image.state == PageState::kStored;
    if (states[image.page] != image.state) sectors.push_back(image.page / kTablePagesPerSector);
  }
  if (stored) {
    DRSEED_TRY(guard(write_pages(slot, pages)));
    DRSEED_TRY(guard(store_->sync()));
  }
  if (sectors.empty()) return {};
  for (const auto& image : pages) states[image.page] = image.state;
  std::sort(sectors.begin(), sectors.end());
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  DRSEED_TRY(guard(write_table(slot, sectors)));
  unequal.clear();
  return {};
}

Result<> BitmapFile::reset(SlotId slot, bool set) {
  if (failure_) return tl::unexpected(*failure_);
  tables_[index_of(slot)].assign(info_.page_count(), set ? PageState::kSet : PageState::kClear);
  std::vector<std::uint64_t> sectors(layout_.table_sectors());
  for (std::uint64_t i = 0; i < sectors.size(); ++i) sectors[i] = i;
  DRSEED_TRY(guard(write_table(slot, sectors)));
  unequal_[index_of(slot)].clear();
  return {};
}

Result<> BitmapFile::write_record(RecordKind kind, Record record) {
  if (failure_) return tl::unexpected(*failure_);
  const auto bytes = encode_record(kind, info_.file_id, record);
  const auto which = static_cast<unsigned>((record.sequence + 1) % 2);
  for (unsigned copy = 0; copy < 2; ++copy) {
    DRSEED_TRY(guard(store_->write(record_offset(kind, which, copy), bytes)));
    // A crash spoils one copy of a state record at most: both bad is damage.
    if (copy == 0 && kind == RecordKind::kState) DRSEED_TRY(guard(store_->sync()));
  }
  return guard(store_->sync());
}

Result<> BitmapFile::commit_state(const StateRecord& state) {
  DRSEED_TRY(write_record(RecordKind::kState, {++state_sequence_, encode_state(state)}));
  state_ = state;
  return {};
}

Result<> BitmapFile::commit_log(std::span<const RegionIndex> regions) {
  assert(regions.size() <= info_.log_regions);
  // After a loss both places are written, so that none of the old records can come back.
  for (int times = log_lost_ ? 2 : 1; times > 0; --times)
    DRSEED_TRY(write_record(RecordKind::kLog, {++log_sequence_, encode_regions(regions)}));
  logged_.assign(regions.begin(), regions.end());
  log_lost_ = false;
  return {};
}

Result<> BitmapFile::repair() {
  const bool log_was_lost = log_lost_;
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (state_.slots[i].kind == SlotKind::kFree) continue;
    auto bits = load(SlotId(i));
    if (log_was_lost) bits.set_all();  // what the log would have said is in no other place
    bits.mark_all_changed();
    const auto pages = bits.take_changed();
    // A table of which both copies are bad is written whole, all set, before it names pages again.
    DRSEED_TRY(reset(SlotId(i), true));
    DRSEED_TRY(save(SlotId(i), pages));
  }
  DRSEED_TRY(guard(write_header(*store_, info_)));
  const auto state = state_;
  const auto regions = logged_;
  for (unsigned i = 0; i < 2; ++i) {
    DRSEED_TRY(commit_state(state));
    DRSEED_TRY(commit_log(regions));
  }
  state_doubtful_ = false;
  damage_.clear();
  return {};
}

}  // namespace drseed::bitmap
