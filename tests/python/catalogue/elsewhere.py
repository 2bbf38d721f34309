"""Cases that take several runs, a fault or another part of the project, and the tests that hold them."""

from __future__ import annotations

from .cases import Covered

SERVICE = "tests/python/ingestion/test_service.py::"
LANDING = "tests/python/ingestion/test_landing.py::"
ERASURE = "tests/python/ingestion/test_erasure.py::"
BUCKET = "tests/python/ingestion/test_landing_s3.py::"
FROM_BUCKET = "tests/python/ingestion/test_service_s3.py::"
DELIVERY = "tests/python/catalogue/test_delivery.py::"
MACHINE = "tests/python/catalogue/test_machine_faults.py::"
DATABASE = "tests/python/catalogue/test_database_faults.py::"
KILLED = "tests/python/property/test_killed_runs.py::"
RUN = "tests/python/orchestration/test_run.py::"
DEFINITIONS = "tests/python/orchestration/test_definitions.py::"

ELSEWHERE: tuple[Covered, ...] = (
    Covered(
        45,
        "one id in several files, the newer version first or last",
        "ACCEPT",
        "every version is kept; staging and marts take the newest by update time, then by delivery",
        (
            "tests/python/oracle/test_figures_by_hand.py::test_the_highest_update_time_wins_over_the_later_delivery",
            "tests/python/property/test_incremental_equals_full.py::test_drawn_sequences_equal_a_rebuild",
        ),
    ),
    Covered(
        48,
        "a payment or a line whose order never came",
        "ACCEPT",
        "kept and classified as an orphan; it heals when the order comes",
        (
            "tests/python/oracle/test_marts_equal_oracle_when_awkward.py::",
            "models/quality/quality.yml::quality_orphans",
        ),
    ),
    Covered(
        49,
        "an order's total that is not the sum of its parts",
        "ACCEPT",
        "loads; the payment reconciliation lists it and says what kind of difference it is",
        ("tests/python/oracle/test_figures_by_hand.py::test_reconciliation_classes",),
    ),
    Covered(
        52,
        "a word that no feed maps reaches the marts",
        "FAIL",
        "the audit fails and readers keep the former marts",
        (f"{RUN}test_a_status_that_no_feed_maps_fails_the_audit_and_readers_keep_the_former_marts",),
    ),
    Covered(
        58,
        "a customer asks to be erased",
        "ACCEPT",
        "what is personal goes from raw tables, bronze and quarantine, and stays out; figures stay",
        (
            f"{ERASURE}test_nothing_personal_stays_and_no_figure_changes",
            f"{ERASURE}test_a_rebuild_from_bronze_and_the_same_files_bring_nobody_back",
            f"{ERASURE}test_an_erasure_that_was_killed_is_finished_by_the_next_call",
        ),
    ),
    Covered(
        59,
        "the same file delivered twice",
        "ACCEPT",
        "the second is `duplicate`: no rows, no number",
        (
            f"{SERVICE}test_a_second_run_changes_nothing",
            f"{SERVICE}test_the_gzipped_file_is_another_content_but_its_repetition_is_not",
        ),
    ),
    Covered(
        60,
        "the same name with other content",
        "ACCEPT",
        "a later delivery, or, where the feed says `same_name: replace`, in one transaction in place of the former",
        (
            f"{SERVICE}test_changed_content_under_the_same_name_is_a_later_delivery",
            f"{SERVICE}test_content_stays_as_long_as_one_name_still_delivers_it",
        ),
    ),
    Covered(
        61,
        "the same content under another name",
        "ACCEPT",
        "`duplicate`, noted once per name",
        (f"{SERVICE}test_the_same_content_under_other_names_is_noted_once_per_name_and_loaded_once",),
    ),
    Covered(
        62,
        "an upload that still grows",
        "ACCEPT",
        "left for the next run, told of, without a number",
        (
            f"{SERVICE}test_a_growing_file_is_left_for_the_next_run_and_takes_no_number",
            f"{SERVICE}test_a_file_waits_for_its_manifest_and_is_held_to_it",
            f"{LANDING}test_a_name_that_says_unfinished_is_left_and_reported",
        ),
    ),
    Covered(
        63,
        "a file that appears late with an old time",
        "ACCEPT",
        "loaded: everything is listed and compared with the ledger, no time is remembered",
        (f"{DELIVERY}test_a_file_that_appears_late_with_an_old_time_is_not_missed",),
    ),
    Covered(
        64,
        "names that climb, run, or fool the eye",
        "ACCEPT",
        "the name is data, no path is made of it; control characters and direction marks wait and are told of",
        (
            f"{DELIVERY}test_a_name_is_data_and_never_a_place",
            f"{LANDING}test_the_local_path_holds_nothing_of_the_objects_name",
            f"{BUCKET}test_a_key_that_climbs_stays_where_it_is",
        ),
    ),
    Covered(
        65,
        "a link, a pipe, a socket, a folder called x.csv",
        "ACCEPT",
        "left alone and told of; nothing outside is read, nothing waits for a writer",
        (
            f"{DELIVERY}test_what_is_no_regular_file_is_left_alone_and_holds_nothing_up",
            f"{LANDING}test_a_link_put_in_the_place_of_a_listed_file_is_not_followed",
        ),
    ),
    Covered(
        66,
        "a file deleted or replaced between listing and reading",
        "RETRY",
        "not read; the next run takes what is there then",
        (
            f"{LANDING}test_a_change_while_reading_is_noticed",
            f"{SERVICE}test_a_file_that_changes_while_it_is_checked_is_forgotten_until_the_next_run",
            f"{BUCKET}test_an_object_that_changed_since_the_listing_is_not_read",
            f"{FROM_BUCKET}test_an_object_replaced_between_two_readings_is_left_and_taken_by_the_next_run",
        ),
    ),
    Covered(
        68,
        "many tiny files",
        "ACCEPT",
        "a killed run goes on where it stopped",
        (f"{DELIVERY}test_many_tiny_files_go_on_where_a_killed_run_stopped",),
    ),
    Covered(
        69,
        "kill -9 at every named point of a run",
        "FAIL",
        "the next run gives what no crash would have given, in the warehouse, for readers and in a rebuild",
        (
            f"{KILLED}test_a_killed_run_is_made_good_by_the_next",
            "tests/python/property/test_on_postgres.py::test_a_killed_run_is_made_good_by_the_next",
            "tests/engines/test_killed_command.py::test_a_killed_command_is_made_good_by_the_next",
            f"{SERVICE}test_a_crash_at_any_point_ends_in_the_state_of_no_crash",
            f"{SERVICE}test_a_killed_load_is_made_good_where_its_content_lies_there_no_more",
        ),
    ),
    Covered(
        70,
        "a full disk",
        "FAIL",
        "nothing half written; the next run makes it good",
        (
            f"{MACHINE}test_a_disk_that_takes_no_more_bytes_fails_the_run_and_leaves_nothing_half_written",
            f"{MACHINE}test_a_full_disk_is_told_as_such_and_costs_the_run_alone",
        ),
    ),
    Covered(
        70,
        "folders that may only be read",
        "FAIL",
        "bronze: the run fails; landing: reading is enough",
        (
            f"{MACHINE}test_a_bronze_folder_that_may_not_be_written_fails_the_run",
            f"{MACHINE}test_a_landing_folder_that_may_only_be_read_is_enough",
        ),
    ),
    Covered(
        70,
        "no more open files",
        "FAIL",
        "the run fails; a file is never taken for unfinished because of it",
        (f"{MACHINE}test_a_process_that_may_open_no_more_files_fails_and_leaves_nothing_half_written",),
    ),
    Covered(
        71,
        "an object store that is busy, slow, cut off or sends other bytes",
        "RETRY",
        "waited out with growing pauses, up to a bound; other bytes than were put there never load",
        (
            f"{BUCKET}test_a_trouble_that_passes_is_waited_out",
            f"{BUCKET}test_a_trouble_that_stays_is_told_after_a_bounded_number_of_tries",
            f"{FROM_BUCKET}test_content_that_was_corrupted_on_its_way_never_loads",
            f"{FROM_BUCKET}test_a_run_that_broke_off_leaves_what_a_run_without_trouble_leaves",
        ),
    ),
    Covered(
        72,
        "credentials that are missing, expired or denied",
        "FAIL",
        "told at once, without another try and without the secret",
        (
            f"{BUCKET}test_a_refusal_ends_it_at_once_and_holds_no_secret",
            f"{BUCKET}test_without_credentials_nobody_is_asked",
        ),
    ),
    Covered(
        73,
        "the connection to the server ends among the rows",
        "RETRY",
        "the transaction rolls back, the file stays `pending`",
        (
            f"{DATABASE}test_a_connection_that_ends_among_the_rows_leaves_none_of_them",
            "tests/python/ingestion/test_warehouses.py::test_a_connection_that_ends_is_told_as_such_and_rolls_back",
        ),
        rule="server",
    ),
    Covered(
        73,
        "the answer to the commit is lost",
        "RETRY",
        "the next try finds the batch in the ledger and loads nothing twice",
        (f"{DATABASE}test_a_commit_whose_answer_is_lost_is_found_in_the_ledger_and_not_repeated",),
        rule="server",
    ),
    Covered(
        74,
        "two runs at once",
        "FAIL",
        "the second is told who is writing, and changes nothing",
        (
            f"{KILLED}test_of_two_runs_that_start_together_none_loads_twice",
            f"{KILLED}test_a_run_beside_one_that_is_loading_is_refused",
            "tests/engines/test_killed_command.py::test_of_two_commands_the_second_is_told_who_writes",
            f"{RUN}test_a_run_beside_another_is_refused_and_changes_nothing",
        ),
        rule="one_writer",
    ),
    Covered(
        74,
        "a reader that holds the embedded warehouse",
        "FAIL",
        "the run says so and changes nothing; readers of the published file hold nothing up",
        (
            f"{MACHINE}test_a_reader_that_holds_the_warehouse_is_told_of_and_nothing_changes",
            "tests/python/orchestration/test_publish.py::test_a_reader_that_holds_the_former_file_is_not_disturbed",
        ),
        rule="one_writer",
    ),
    Covered(
        74,
        "the server drops the writer's lock during a run",
        "FAIL",
        "it is taken again; who lost it to another run writes nothing more",
        (
            f"{DATABASE}test_a_writers_lock_that_the_server_dropped_is_taken_again",
            f"{DATABASE}test_who_lost_the_lock_to_another_run_writes_nothing_more",
        ),
        rule="one_writer",
    ),
    Covered(
        75,
        "a lock timeout, a deadlock, a conflict between transactions",
        "RETRY",
        "the whole step is tried again, with growing pauses",
        (
            f"{DATABASE}test_a_lock_that_is_not_given_in_time_costs_the_try_and_not_the_file",
            f"{DEFINITIONS}test_only_what_may_pass_by_itself_is_tried_again",
            f"{DEFINITIONS}test_every_step_is_retried_with_backoff_and_shares_the_pool_of_one",
        ),
        rule="server",
    ),
    Covered(
        76,
        "a clock that goes back, a file from tomorrow, a leap day, the end of summer time",
        "ACCEPT",
        "numbers decide what is later; the schedule runs in the business time zone where the day ends last",
        (
            f"{MACHINE}test_a_clock_that_goes_back_a_day_turns_no_order_of_deliveries_around",
            f"{MACHINE}test_a_file_from_tomorrow_and_a_leap_day_load",
            f"{DEFINITIONS}test_the_daily_job_runs_in_the_business_time_zone_where_the_day_ends_last",
        ),
    ),
)

# What no test holds yet, and why.
NOT_YET: dict[int, str] = {
    67: "no store reads Google Drive yet",
}
