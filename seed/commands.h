#pragma once
// The subcommands of this module. Each adds itself to the program; the chosen one sets `exit_status` when it runs.

#include <CLI/CLI.hpp>

namespace drseed::seed {

void add_image_command(CLI::App& program, int& exit_status);
void add_verify_command(CLI::App& program, int& exit_status);
void add_apply_command(CLI::App& program, int& exit_status);
void add_inspect_command(CLI::App& program, int& exit_status);
void add_checksum_command(CLI::App& program, int& exit_status);

}  // namespace drseed::seed
