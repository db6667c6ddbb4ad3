// block/transfer: the pieces that a transfer is cut into.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>

#include "block/buffer_pool.h"
#include "block/transfer.h"
#include "block_test_support.h"

namespace drseed::block {
namespace {

TEST(Pieces, CoverATransferWithoutAGapAndAreAlignedWhereTheyAreDirect) {
  TemporaryFolder folder;
  const auto device = open_device(make_file(folder / "disk", kMiB));
  if (!device->direct()) GTEST_SKIP() << "no O_DIRECT in the temporary folder";
  BufferPool pool(1, 256 * 1024);
  const Buffer buffer = pool.take();
  std::mt19937 random(1);
  int direct_pieces = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::uint64_t offset = random() % 65536 / (1u << random() % 16) * (1u << random() % 13);
    // In half of the rounds memory and offset can be aligned together.
    const std::size_t shift = round % 2 == 0 ? offset % 4096 : random() % 4096;
    const Transfer transfer{buffer.data() + shift, offset, 1 + random() % 60000};
    std::uint64_t done = 0;
    for (int pieces = 0; done < transfer.length_bytes; ++pieces) {
      ASSERT_LT(pieces, 100);
      const Piece piece = next_piece(*device, transfer, done);
      ASSERT_LE(piece.begin, done);
      ASSERT_GT(piece.begin + piece.length_bytes, done);
      ASSERT_LE(piece.begin + piece.length_bytes, transfer.length_bytes);
      if (piece.fd == device->direct_fd()) {
        ++direct_pieces;
        ASSERT_EQ((offset + piece.begin) % 4096, 0u);
        ASSERT_EQ(piece.length_bytes % 4096, 0u);
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(transfer.data + piece.begin) % 4096, 0u);
      }
      // Now and then the kernel moves less than it was asked for.
      const std::uint64_t end = piece.begin + piece.length_bytes;
      done = random() % 4 == 0 ? std::max(done + 1, piece.begin + random() % piece.length_bytes) : end;
    }
  }
  EXPECT_GT(direct_pieces, 1000);
}

}  // namespace
}  // namespace drseed::block
