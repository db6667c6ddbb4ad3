#pragma once
// `drseed bitmap` and its subcommands. Each adds itself to its parent; the chosen one sets `exit_status` when it runs.

#include <CLI/CLI.hpp>

namespace drseed::bitmap {

void add_bitmap_command(CLI::App& program, int& exit_status);

void add_create_command(CLI::App& bitmap, int& exit_status);
void add_show_command(CLI::App& bitmap, int& exit_status);
void add_clear_command(CLI::App& bitmap, int& exit_status);
void add_set_command(CLI::App& bitmap, int& exit_status);
void add_merge_command(CLI::App& bitmap, int& exit_status);
void add_check_command(CLI::App& bitmap, int& exit_status);
void add_export_command(CLI::App& bitmap, int& exit_status);
void add_import_command(CLI::App& bitmap, int& exit_status);

}  // namespace drseed::bitmap
