#pragma once
// Private to block/: the two implementations of IoQueue.

#include <memory>

#include "block/io_queue.h"

namespace drseed::block {

Result<std::unique_ptr<IoQueue>> make_thread_queue(Device& device, std::size_t depth);
// The error's errno tells why io_uring is not to be had.
Result<std::unique_ptr<IoQueue>> make_uring_queue(Device& device, std::size_t depth);

}  // namespace drseed::block
