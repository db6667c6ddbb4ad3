#pragma once
// Private to block/: how one read or write is cut into system calls. Shared by Device and both IoQueues.
//
// A transfer is a range of a device and its memory. It goes on until it is whole, piece by piece; each piece goes
// through the direct or the buffered descriptor. Pieces of the direct descriptor are whole multiples of
// Device::alignment_bytes(), which is never less than a page: a direct write never shares a page of the cache with a
// buffered write in flight, whose write-back could otherwise undo it.

#include <cstdint>

#include "base/unique_fd.h"
#include "block/device.h"

namespace drseed::block {

struct Transfer {
  std::uint8_t* data = nullptr;  // not written to by a write
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;
};

// A part of a transfer for one system call; `begin` and `length_bytes` are relative to the transfer.
struct Piece {
  int fd = -1;
  std::uint64_t begin = 0;
  std::uint64_t length_bytes = 0;
};

// The next piece once `done` bytes of the transfer are through. A direct piece may begin before `done`, so that it is
// aligned: those bytes are moved twice. Precondition: done < length_bytes.
Piece next_piece(const Device& device, const Transfer& transfer, std::uint64_t done);

// How far a read comes without waiting: 0, unless the mode is kAuto and the page cache holds all of it.
std::uint64_t read_from_page_cache(const Device& device, const Transfer& transfer);

// Waits until the transfer is whole. Returns 0 or an errno; ENODATA for a read that meets the end. `done` is how far it
// came.
int read_whole(const Device& device, const Transfer& transfer, std::uint64_t& done);
int write_whole(const Device& device, const Transfer& transfer, std::uint64_t& done);

bool fits(const Device& device, std::uint64_t offset_bytes, std::uint64_t length_bytes);

// 0, or why nothing may be written there: the errno of the flush that failed, or ENOSPC past the end.
int write_refused(const Device& device, std::uint64_t offset_bytes, std::uint64_t length_bytes);

// Another open file description of the same device, with a position and write-back error state of its own. Not valid
// where the path no longer names it.
UniqueFd reopen(const Device& device, int open_flags);

}  // namespace drseed::block
