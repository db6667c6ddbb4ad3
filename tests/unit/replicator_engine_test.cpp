#include "replicator/core/engine.h"

#include <gtest/gtest.h>

#include "tests/unit/replicator_cluster.h"

namespace drseed::replicator {
namespace {

void expect_equal(Cluster& cluster, std::initializer_list<NodeIndex> nodes) {
  for (const auto node : nodes) EXPECT_EQ(cluster.disk(node), cluster.disk(*nodes.begin())) << "node " << int{node};
}

Command pause(NodeIndex peer) {
  Command command;
  command.kind = CommandKind::kPause;
  command.peer = peer;
  return command;
}
Command resume(NodeIndex peer) {
  auto command = pause(peer);
  command.kind = CommandKind::kResume;
  return command;
}

TEST(Engine, TargetFollowsItsSource) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  EXPECT_EQ(cluster.engine(0).in_sync(), 0b11U) << cluster.engine(0).explain(1);
  EXPECT_EQ(cluster.resync_bytes(0, 1), 0U);
  std::vector<std::uint64_t> ids;
  for (std::uint64_t i = 0; i < 100; ++i) ids.push_back(cluster.write(0, i * 13 % 2000, 1 + i % 9));
  ids.push_back(cluster.flush(0));
  cluster.run();
  for (const auto id : ids) EXPECT_TRUE(cluster.replies().contains(id));
  cluster.settle();
  expect_equal(cluster, {0, 1});
  EXPECT_EQ(cluster.engine(0).remembered_writes(), 0U);
  EXPECT_EQ(cluster.engine(0).slot(1).dirty_count(), 0U);
  EXPECT_EQ(cluster.engine(1).slot(0).dirty_count(), 0U);
  EXPECT_EQ(cluster.payloads(), 0U);
  EXPECT_TRUE(cluster.engine(0).idle() && cluster.engine(1).idle());
}

TEST(Engine, LostLinkCostsAPartialResync) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  cluster.cut(0, 1);
  for (std::uint64_t i = 0; i < 10; ++i) cluster.write(0, i * 100, 8);
  cluster.run();
  cluster.link_all();
  cluster.settle();
  expect_equal(cluster, {0, 1});
  EXPECT_EQ(cluster.engine(0).in_sync(), 0b11U) << cluster.engine(0).explain(1);
  EXPECT_GT(cluster.resync_bytes(0, 1), 0U);
  EXPECT_LE(cluster.resync_bytes(0, 1), 20U * 4096);
  EXPECT_EQ(cluster.engine(0).map_of(1).count({0, 256}), cluster.engine(0).map_of(1).dirty_count());
}

TEST(Engine, PausedTargetIsOutdatedAndResumesPartially) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  EXPECT_TRUE(cluster.command(0, pause(1)).ok);
  EXPECT_TRUE(cluster.engine(1).record().outdated);
  cluster.write(0, 80);
  cluster.run();
  EXPECT_NE(cluster.disk(0), cluster.disk(1));
  EXPECT_TRUE(cluster.command(0, resume(1)).ok);
  cluster.settle();
  expect_equal(cluster, {0, 1});
  EXPECT_FALSE(cluster.engine(1).record().outdated);
  EXPECT_EQ(cluster.resync_bytes(0, 1), 4096U);
}

TEST(Engine, SyncWriteWaitsForItsTarget) {
  Cluster cluster(2, 0b10);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  const auto id = cluster.write(0, 0);
  cluster.run();
  EXPECT_TRUE(cluster.replies().contains(id));
  expect_equal(cluster, {0, 1});
}

TEST(Engine, KilledSourceReturnsByItselfWithAPartialResync) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  cluster.write(0, 40);
  cluster.run();
  cluster.kill(0);
  cluster.start(0);
  cluster.link_all();
  cluster.settle();
  EXPECT_TRUE(cluster.engine(0).in_service());
  EXPECT_EQ(cluster.engine(0).in_sync(), 0b11U) << cluster.engine(0).explain(1);
  expect_equal(cluster, {0, 1});
  EXPECT_LT(cluster.resync_bytes(0, 1), Cluster::kVolumeBytes / 4);
}

TEST(Engine, SourceWithoutItsPeerSetsDataCorruptAndForceHelps) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  cluster.kill(0);
  cluster.kill(1);
  cluster.start(0);
  for (int i = 0; i < 20; ++i) cluster.tick();
  EXPECT_FALSE(cluster.engine(0).in_service());
  EXPECT_TRUE(cluster.engine(0).record().data_corrupt);
  EXPECT_FALSE(cluster.promote(0));
  EXPECT_TRUE(cluster.promote(0, 0, true));
  EXPECT_FALSE(cluster.engine(0).record().data_corrupt);
}

TEST(Engine, PromotedTargetResyncsTheOldSourcePartially) {
  Cluster cluster(2, 0b11);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  for (std::uint64_t i = 0; i < 5; ++i) cluster.write(0, i * 64);
  cluster.run();
  cluster.kill(0);
  EXPECT_FALSE(cluster.promote(1)) << "a pair needs both, or a fence";
  ASSERT_TRUE(cluster.promote(1, 0b01));
  cluster.write(1, 1000);
  cluster.run();
  cluster.start(0);
  cluster.link_all();
  cluster.settle();
  EXPECT_TRUE(cluster.engine(1).in_service());
  EXPECT_FALSE(cluster.engine(0).in_service());
  EXPECT_FALSE(cluster.engine(0).record().last_owner);
  EXPECT_EQ(cluster.engine(1).in_sync(), 0b11U) << cluster.engine(1).explain(0);
  expect_equal(cluster, {0, 1});
  EXPECT_LT(cluster.resync_bytes(1, 0), Cluster::kVolumeBytes / 4);
}

TEST(Engine, SourceLostForGoodTheSurvivorsResyncPartially) {
  Cluster cluster(3);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  for (std::uint64_t i = 0; i < 20; ++i) cluster.write(0, i * 64);
  cluster.run();
  cluster.cut(0, 2);
  for (std::uint64_t i = 0; i < 5; ++i) cluster.write(0, 8 + i * 64);
  cluster.run();
  cluster.kill(0);
  ASSERT_TRUE(cluster.promote(2));
  cluster.settle();
  expect_equal(cluster, {1, 2});
  EXPECT_EQ(cluster.engine(2).in_sync(), 0b110U) << cluster.engine(2).explain(1);
  const auto bytes = cluster.resync_bytes(1, 2) + cluster.resync_bytes(2, 1);
  std::printf("survivors: %llu of %llu bytes crossed\n", static_cast<unsigned long long>(bytes),
              static_cast<unsigned long long>(Cluster::kVolumeBytes));
  EXPECT_GT(bytes, 0U);
  EXPECT_LT(bytes, Cluster::kVolumeBytes / 4);
}

TEST(Engine, OthersMayWaitForThePreviousSourceAsDataKeeperDoesIt) {
  Cluster cluster(3);
  for (NodeIndex node = 0; node < 3; ++node) cluster.settings(node).wait_previous_ms = -1;
  for (NodeIndex node = 0; node < 3; ++node) cluster.start(node);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  for (std::uint64_t i = 0; i < 20; ++i) cluster.write(0, i * 64);
  cluster.settle();
  cluster.kill(0);
  ASSERT_TRUE(cluster.promote(1));
  cluster.write(1, 900);
  cluster.settle();
  EXPECT_EQ(cluster.engine(1).in_sync(), 0b010U);
  EXPECT_NE(cluster.engine(1).explain(2).find("previous source"), std::string::npos) << cluster.engine(1).explain(2);
  cluster.start(0);
  cluster.link_all();
  cluster.settle();
  EXPECT_EQ(cluster.engine(1).in_sync(), 0b111U) << cluster.engine(1).explain(2);
  expect_equal(cluster, {0, 1, 2});
  std::printf("with the previous source back: %llu bytes to it, %llu to the third node\n",
              static_cast<unsigned long long>(cluster.resync_bytes(1, 0)),
              static_cast<unsigned long long>(cluster.resync_bytes(1, 2)));
  EXPECT_LT(cluster.resync_bytes(1, 0) + cluster.resync_bytes(1, 2), Cluster::kVolumeBytes / 2);
}

TEST(Engine, ResyncKeepsToItsRate) {
  Cluster cluster(2);
  for (NodeIndex node = 0; node < 2; ++node) {
    cluster.settings(node).resync_bytes_per_second_max = 8192;
    cluster.start(node);
  }
  ASSERT_TRUE(cluster.promote(0, 0b10));
  for (std::uint64_t i = 0; i < 20; ++i) cluster.write(0, i * 64);
  cluster.run();
  cluster.link_all();
  for (int second = 0; second < 3; ++second) cluster.tick(1000);
  EXPECT_LE(cluster.resync_bytes(0, 1), 5U * 8192);
  EXPECT_EQ(cluster.engine(0).in_sync(), 0b01U);
  for (int second = 0; second < 20; ++second) cluster.tick(1000);
  EXPECT_EQ(cluster.engine(0).in_sync(), 0b11U) << cluster.engine(0).explain(1);
  expect_equal(cluster, {0, 1});
}

TEST(Engine, BothWroteIsSplitBrainUntilAVictimIsNamed) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  cluster.cut(0, 1);
  ASSERT_TRUE(cluster.promote(1, 0b01));
  cluster.write(0, 0);
  cluster.write(1, 800);
  cluster.run();
  cluster.link_all();
  cluster.settle();
  EXPECT_NE(cluster.disk(0), cluster.disk(1));
  EXPECT_TRUE(cluster.engine(0).in_service() && cluster.engine(1).in_service());
  Command demote;
  demote.kind = CommandKind::kDemote;
  EXPECT_TRUE(cluster.command(1, demote).ok);
  cluster.settle();
  EXPECT_NE(cluster.disk(0), cluster.disk(1));
  Command discard;
  discard.kind = CommandKind::kDiscard;
  EXPECT_TRUE(cluster.command(1, discard).ok);
  cluster.settle();
  expect_equal(cluster, {0, 1});
  EXPECT_EQ(cluster.resync_bytes(0, 1), 2 * 4096U);
}

// The third node's record, as a join makes it of a passport.
NodeRecord joined(Cluster& cluster, NodeIndex source, const Engine::Passport& passport, const Id& seed) {
  auto record = cluster.record(source);
  record.peers = {};
  record.peers[source].slot_valid = true;
  record.lineage = passport.lineage;
  record.low = passport.low;
  record.high = passport.high;
  record.seed = seed;
  record.in_service = record.last_owner = false;
  record.inconsistent = true;
  record.seeds.clear();
  record.promise = {};
  return record;
}

Command extend_by(NodeIndex node, const Id& seed) {
  Command command;
  command.kind = CommandKind::kExtend;
  command.peer = node;
  command.member = {true, false, {}, "dr" + std::to_string(node)};
  command.member.id.bytes.fill(static_cast<std::uint8_t>(node + 1));
  command.seed = seed;
  return command;
}

Command open_seed(const Id& seed) {
  Command command;
  command.kind = CommandKind::kOpenSeed;
  command.seed = seed;
  return command;
}

TEST(Engine, SeedTakenUnderLoadCostsAPartialResync) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  for (std::uint64_t i = 0; i < 30; ++i) cluster.write(0, i * 64);
  cluster.run();
  Id seed;
  seed.bytes.fill(77);
  ASSERT_TRUE(cluster.command(0, open_seed(seed)).ok);
  // The image is read while writes go on: the first half before, the second half after them.
  auto image = cluster.disk(0);
  for (std::uint64_t i = 0; i < 6; ++i) cluster.write(0, 4 + i * 300);
  cluster.run();
  std::copy(cluster.disk(0).begin() + 1024, cluster.disk(0).end(), image.begin() + 1024);
  const auto passport = cluster.engine(0).passport(seed);
  ASSERT_TRUE(passport);
  ASSERT_TRUE(cluster.command(0, extend_by(2, seed)).ok);
  ASSERT_TRUE(cluster.command(1, extend_by(2, {})).ok);
  cluster.join(joined(cluster, 0, *passport, seed), image);
  cluster.link_all();
  cluster.settle();
  EXPECT_EQ(cluster.engine(0).in_sync(), 0b111U) << cluster.engine(0).explain(2);
  expect_equal(cluster, {0, 1, 2});
  EXPECT_LE(cluster.resync_bytes(0, 2), 12U * 4096);
  EXPECT_FALSE(cluster.engine(2).record().seed);
}

TEST(Engine, SurvivorThatLacksTheEndOfAnImageAsksForConsent) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  Id seed;
  seed.bytes.fill(78);
  ASSERT_TRUE(cluster.command(0, open_seed(seed)).ok);
  cluster.settle();
  cluster.cut(0, 1);
  cluster.write(0, 0);
  cluster.run();
  const auto image = cluster.disk(0);
  const auto passport = cluster.engine(0).passport(seed);
  ASSERT_TRUE(passport);
  cluster.kill(0);
  ASSERT_TRUE(cluster.promote(1, 0b01));
  ASSERT_TRUE(cluster.command(1, extend_by(2, seed)).ok);
  cluster.join(joined(cluster, 1, *passport, seed), image);
  cluster.link_all();
  cluster.settle();
  EXPECT_EQ(cluster.engine(1).in_sync(), 0b010U);
  EXPECT_EQ(cluster.resync_bytes(1, 2), 0U);
}

TEST(Engine, UnknownSeedIsRefused) {
  Cluster cluster(1);
  ASSERT_TRUE(cluster.promote(0));
  Id seed;
  seed.bytes.fill(79);
  EXPECT_FALSE(cluster.command(0, extend_by(1, seed)).ok);
  EXPECT_TRUE(cluster.command(0, open_seed(seed)).ok);
  EXPECT_FALSE(cluster.command(0, open_seed(seed)).ok);
  Command drop;
  drop.kind = CommandKind::kDropSeed;
  drop.seed = seed;
  EXPECT_TRUE(cluster.command(0, drop).ok);
  EXPECT_FALSE(cluster.command(0, extend_by(1, seed)).ok);
}

TEST(Engine, VerifyFindsAndRepairsRot) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  cluster.write(0, 160);
  cluster.settle();
  cluster.disk(1)[163] ^= 1;
  Command verify;
  verify.kind = CommandKind::kVerify;
  verify.peer = 1;
  EXPECT_FALSE(cluster.command(0, verify).ok);
  EXPECT_NE(cluster.disk(0), cluster.disk(1));
  verify.force = true;
  EXPECT_FALSE(cluster.command(0, verify).ok);
  cluster.settle();
  expect_equal(cluster, {0, 1});
  EXPECT_TRUE(cluster.command(0, verify).ok);
}

TEST(Engine, ChecksumResyncSendsOnlyWhatDiffers) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  for (std::uint64_t i = 0; i < 30; ++i) cluster.write(0, i * 64);
  cluster.settle();
  auto record = cluster.record(0);
  record.peers = {};
  record.lineage.clear();
  record.in_service = record.last_owner = false;
  record.low = record.high = 0;
  record.promise = {};
  ASSERT_TRUE(cluster.command(0, extend_by(2, {})).ok);
  auto old_copy = cluster.disk(0);
  old_copy[500] ^= 1;
  cluster.join(record, old_copy);
  cluster.link(0, 2);
  cluster.settle();
  EXPECT_EQ(cluster.resync_bytes(0, 2), 0U) << "not without consent";
  Command consent;
  consent.kind = CommandKind::kChecksum;
  consent.peer = 2;
  EXPECT_TRUE(cluster.command(0, consent).ok);
  cluster.settle();
  expect_equal(cluster, {0, 2});
  EXPECT_EQ(cluster.engine(0).in_sync(), 0b111U) << cluster.engine(0).explain(2);
  EXPECT_LE(cluster.resync_bytes(0, 2), 64U << 10);
}

TEST(Engine, OrderlyChangeOfRolesSendsNothing) {
  Cluster cluster(2);
  cluster.link_all();
  ASSERT_TRUE(cluster.promote(0));
  for (std::uint64_t i = 0; i < 50; ++i) cluster.write(0, i * 32);
  cluster.run();
  Command demote;
  demote.kind = CommandKind::kDemote;
  ASSERT_TRUE(cluster.command(0, demote).ok);
  ASSERT_TRUE(cluster.promote(1));
  cluster.settle();
  EXPECT_EQ(cluster.engine(1).in_sync(), 0b11U) << cluster.engine(1).explain(0);
  EXPECT_EQ(cluster.resync_bytes(1, 0) + cluster.resync_bytes(0, 1), 0U);
}

}  // namespace
}  // namespace drseed::replicator
