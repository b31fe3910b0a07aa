"""Bugs that somebody could make, each a small change of the source, and the test that must find it."""

from __future__ import annotations

from typing import NamedTuple


class Bug(NamedTuple):
    """In *file*, *was* is replaced by *becomes*; *test* fails then."""

    name: str
    file: str
    was: str
    becomes: str
    test: str


_POWER = "tests/faults/test_power_loss.py::test_f09_a_power_loss_leaves_the_older_backup_or_the_whole_new_one"
_RESTORE_FAILS = (
    "tests/faults/test_interrupted.py::test_a_restore_that_fails_at_any_statement_leaves_the_account_as_it_was"
)
_TABLES = "tests/integration/test_isolation.py::test_t02_every_table_with_an_account_is_under_forced_row_level_security"
_APPEND_GUARD = """AND control_position = p_control) THEN
        RETURN NULL;
    END IF;
    UPDATE streams
    SET head_position = new_head, frontier = p_frontier,
        last_at = (p_batch -> 'events' -> -1 ->> 4)::timestamptz
    WHERE account_id = p_account AND stream_id = p_stream AND status = 'live' AND"""

BUGS = (
    Bug(
        "a backup's file is not synced", "snapshots/shelves/folder.py", "        os.fsync(file.fileno())\n", "", _POWER
    ),
    Bug(
        "its folder is not synced",
        "snapshots/shelves/folder.py",
        "            _sync(target.parent)\n",
        "            pass\n",
        _POWER,
    ),
    Bug(
        "a file that is not whole stays when its backup fails",
        "snapshots/shelves/folder.py",
        "                partial.unlink(missing_ok=True)\n",
        "                pass\n",
        "tests/faults/test_interrupted.py::test_a_backup_that_fails_at_any_file_operation_leaves_the_older_file[write]",
    ),
    Bug(
        "a file whose sync failed is synced again and trusted",
        "snapshots/shelves/folder.py",
        "        os.fsync(file.fileno())\n",
        "        try:\n            os.fsync(file.fileno())\n"
        "        except OSError:\n            os.fsync(file.fileno())\n",
        "tests/faults/test_power_loss.py::test_f08_a_file_whose_sync_failed_once_is_given_up_and_not_synced_again",
    ),
    Bug(
        "a backup does not see one moment",
        "domain/store/database.py",
        "[sql.SQL(_SNAPSHOT)] if snapshot else []",
        "[]",
        "tests/faults/test_one_moment.py::test_r05_a_backup_with_a_write_between_any_two_of_its_statements_is_sound",
    ),
    Bug(
        "a command does not compare versions",
        "domain/application.py",
        'if found != f"{expected.stream}.{expected.version}":',
        'if found == "none":',
        "tests/integration/test_recent.py::test_a_version_that_another_process_made_is_accepted_as_seen",
    ),
    Bug(
        "a command does not compare streams",
        "domain/application.py",
        'found = f"{head.stream}.',
        'found = f"{expected.stream}.',
        "tests/integration/test_restore_meanwhile.py::test_s01_the_same_version_of_a_stream_that_was_replaced_is_stale",
    ),
    Bug(
        "a command that a deadlock broke off is not begun anew",
        "domain/application.py",
        "_TRIES = 3",
        "_TRIES = 1",
        "tests/faults/test_broken_off.py::test_f14_a_command_that_is_broken_off_once_is_done_once_or_not_at_all",
    ),
    Bug(
        "an append asks neither which stream is live nor whether the account's history moved on",
        "domain/store/migrations/0003_append.sql",
        _APPEND_GUARD,
        _APPEND_GUARD.replace("AND control_position = p_control", "").replace(" AND status = 'live'", ""),
        "tests/integration/test_restore_meanwhile.py"
        "::test_r03_a_write_that_was_decided_before_a_swap_goes_into_the_stream_that_is_live_after_it",
    ),
    Bug(
        "a swap in two transactions",
        "snapshots/fresh/swap.py",
        "        finish(connection)\n        if fresh.was",
        '        connection.execute("COMMIT")\n        connection.execute("BEGIN")\n'
        "        connection.execute(f\"SET LOCAL counterfoil.account = '{account}'\".encode())\n"
        "        finish(connection)\n        if fresh.was",
        f"{_RESTORE_FAILS}[overwrite-once]",
    ),
    Bug(
        "a swap does not ask again which stream is live",
        "snapshots/fresh/swap.py",
        "if row is None or row[0] != seen.stream:",
        "if row is None:",
        "tests/integration/test_restore_discard.py::test_a_restore_that_came_between_is_not_discarded",
    ),
    Bug(
        "a swap does not ask whether there were writes since",
        "snapshots/fresh/swap.py",
        "if row[1] != seen.position:",
        "if row[1] < seen.position:",
        "tests/integration/test_restore.py::test_a_write_between_the_look_and_the_swap_is_not_lost",
    ),
    Bug(
        "a swap does not count what arrived",
        "snapshots/fresh/swap.py",
        "        check_count(connection, key, fresh)\n",
        "",
        "tests/integration/test_undo.py::test_a_stream_that_lost_an_event_behind_our_back_is_not_made_live",
    ),
    Bug(
        "a swap whose answer was lost is taken for failed",
        "snapshots/fresh/swap.py",
        "if _is_done(database, account, fresh, at):",
        "if not fresh:",
        "tests/faults/test_undo_interrupted.py::test_an_undo_whose_wire_breaks_is_done_or_not_and_says_which[answer]",
    ),
    Bug(
        "a stream whose building failed is not swept",
        "snapshots/fresh/building.py",
        "        _sweep(database, account, stream)\n        raise\n",
        "        raise\n",
        "tests/faults/test_left_behind.py::test_a_stream_whose_building_failed_is_given_up_at_once",
    ),
    Bug(
        "a stream is swept while its builder is at work",
        "snapshots/fresh/building.py",
        "            if row and row[0] and stream in",
        "            if row and stream in",
        "tests/faults/test_left_behind.py::test_a_stream_whose_restore_was_killed_is_swept_and_not_while_it_is_at_work",
    ),
    Bug(
        "a file is swept while its backup is at work",
        "snapshots/partial_files.py",
        "            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)\n    except OSError",
        "            file.fileno()\n    except OSError",
        "tests/faults/test_left_behind.py::test_a_file_whose_backup_was_killed_is_removed_and_not_while_it_is_written",
    ),
    Bug(
        "a stream is purged that somebody is at work on",
        "snapshots/generations/purging.py",
        "if row is None or not row[0]:",
        "if row is None:",
        "tests/integration/test_purging.py::test_a_stream_that_somebody_is_at_work_on_stays",
    ),
    Bug(
        "documents that only a stream has are purged without an archive",
        "snapshots/generations/purging.py",
        "archiver(access, kept.stream) if found.documents_only_here else None",
        "archiver(access, kept.stream) if found.documents_only_here < 0 else None",
        "tests/integration/test_purging.py::test_documents_that_the_live_stream_lacks_are_in_a_signed_archive_before",
    ),
    Bug(
        "the purging role may delete from the live stream",
        "domain/store/migrations/0001_accounts_and_streams.sql",
        "CREATE POLICY not_the_live_one ON events AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (\n"
        "    stream_id IN (SELECT s.stream_id FROM streams s WHERE s.status IN ('retired', 'abandoned')));\n",
        "CREATE POLICY not_the_live_one ON events AS RESTRICTIVE FOR DELETE TO counterfoil_purger USING (true);\n",
        "tests/integration/test_isolation.py::test_not_even_the_purging_role_deletes_from_the_live_stream",
    ),
    Bug(
        "row-level security is not forced",
        "domain/store/migrations/0001_accounts_and_streams.sql",
        "        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);\n",
        "",
        _TABLES,
    ),
    Bug(
        "the policy of the tables of tenants lets all through",
        "domain/store/migrations/0001_accounts_and_streams.sql",
        "ON %I USING (account_id = (SELECT current_account()))', tenant_table);",
        "ON %I USING (true)', tenant_table);",
        "tests/integration/test_isolation.py::test_t04_without_an_account_or_with_another_there_is_nothing_to_see",
    ),
    Bug(
        "a row is not compared with its leaf",
        "projections/verification.py",
        "            if leaf != made_leaf:\n",
        "            if not made_leaf:\n",
        "tests/integration/test_verification.py::test_a_leaf_that_was_changed_alone_is_told_at_its_position",
    ),
    Bug(
        "a signature is not verified",
        "snapshots/trust/signing.py",
        "if not verifies(key.public, manifest, raw):",
        "if not raw:",
        "tests/integration/test_authenticity.py::test_a_changed_manifest_under_a_signature_is_edited",
    ),
    Bug(
        "a key that is distrusted is believed",
        "snapshots/trust/signing.py",
        "return self.distrusted_from is None or at < self.distrusted_from",
        "return self.distrusted_from is None or bool(at)",
        "tests/unit/test_signing.py::test_m09_a_key_is_distrusted_from_a_moment_on_and_believed_before",
    ),
    Bug(
        "a file's hash is not compared with the manifest",
        "snapshots/reading/archive.py",
        "if (size, seen.hexdigest()) != (listed.bytes, listed.sha256):",
        "if size != listed.bytes:",
        "tests/integration/test_authenticity.py::test_an_edited_archive_is_refused_and_each_file_that_differs_is_named",
    ),
)
