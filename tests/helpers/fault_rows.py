"""Faults 1 to 50, in words, and the tests of each: file::function."""

ADAMW, SCHEDULES = "test_faults_state::test_bad_inputs_to_adamw", "test_faults_state::test_bad_inputs_to_schedules"
MATRIX = "test_resume_matrix::test_ours_are_right_or_refused"
ROWS = {
    1: ("rates below zero and NaN", [ADAMW, "test_optim_faults::test_rates"]),
    2: ("rates of inf and beyond float64", [ADAMW, "test_optim_faults::test_rates"]),
    3: ("rates that are no real numbers", [ADAMW, "test_optim_faults::test_rates"]),
    4: (
        "rates as tensors of two elements, or shared",
        [
            ADAMW,
            "test_optim::test_a_callers_own_tensor_is_the_rate",
            "test_attach::test_one_tensor_cannot_follow_two_schedules",
        ],
    ),
    5: ("betas out of range", [ADAMW, "test_optim_faults::test_other_numbers"]),
    6: ("betas that are no pair", [ADAMW, "test_optim_faults::test_other_numbers"]),
    7: ("eps of -1, NaN, inf, 0", [ADAMW, "test_optim_faults::test_other_numbers"]),
    8: ("weight decay of -1, NaN, inf", [ADAMW, "test_optim_faults::test_other_numbers"]),
    9: ("bad values in a group", [ADAMW, "test_optim_faults::test_groups"]),
    10: ("misspelt keys in a group", [ADAMW, "test_optim_faults::test_groups"]),
    11: ("no parameters, None, a module", [ADAMW, "test_optim_faults::test_parameters"]),
    12: ("a set of parameters", [ADAMW, "test_optim_faults::test_parameters"]),
    13: ("parameters of integers, without gradient, on meta", [ADAMW, "test_optim_faults::test_parameters"]),
    14: ("a parameter twice", [ADAMW, "test_optim_faults::test_parameters"]),
    15: ("a bad rate assigned later", [ADAMW, "test_optim_faults::test_a_rate_assigned_later"]),
    16: ("one gradient of NaN or inf", ["test_faults_state::test_the_last_good_checkpoint_outlives_bad_gradients"]),
    17: ("one gradient of 1e30", ["test_faults_state::test_the_last_good_checkpoint_outlives_bad_gradients"]),
    18: ("gradients of NaN every step", ["test_faults_state::test_the_last_good_checkpoint_outlives_bad_gradients"]),
    19: (
        "healthy checkpoints rotated away",
        [
            "test_checkpoint::test_what_is_kept",
            "test_faults_state::test_the_last_good_checkpoint_outlives_bad_gradients",
        ],
    ),
    20: (
        "a step that a GradScaler skips",
        [
            "test_optim::test_a_scaler_that_skips_does_not_move_the_counter",
            "test_attach::test_a_step_that_a_grad_scaler_skips",
            "test_checkpoint::test_a_scaler_that_skips",
        ],
    ),
    21: ("horizons of 0, -3, NaN, text", [SCHEDULES, "test_schedules_faults::test_row_21_horizons_that_are_none"]),
    22: ("steps past the end", [SCHEDULES, "test_schedules_faults::test_row_22_a_step_past_the_end_holds"]),
    23: (
        "a warmup as long as the run",
        [SCHEDULES, "test_schedules_faults::test_row_23_a_warmup_as_long_as_the_run_cannot_be_said"],
    ),
    24: ("floors above the peak, NaN", [SCHEDULES, "test_schedules_faults::test_row_24_a_floor_above_the_peak"]),
    25: ("bad factors and step sizes", [SCHEDULES, "test_schedules_faults::test_row_25_factors"]),
    26: ("bad milestones", [SCHEDULES, "test_schedules_faults::test_row_26_milestones_that_do_not_rise"]),
    27: ("functions without a number", [SCHEDULES, "test_schedules_faults::test_row_27_functions_that_give_no_number"]),
    28: ("two schedulers", [SCHEDULES, "test_attach::test_a_torch_scheduler_on_top_is_refused"]),
    29: (
        "a group added after the start",
        [
            SCHEDULES,
            "test_attach::test_a_group_added_late_follows",
            "test_attach_states::test_groups_that_were_added_late",
        ],
    ),
    30: (
        "another horizon on resume",
        [
            SCHEDULES,
            "test_attach_policies::test_resume_refuses_what_differs",
            "test_attach_policies::test_extended_by_loading",
        ],
    ),
    31: ("optimizer loaded, then scheduler built", [SCHEDULES, MATRIX, "test_attach_states::test_every_order"]),
    32: ("one of the two states missing", [SCHEDULES, MATRIX]),
    33: ("another schedule's state", [SCHEDULES, "test_attach_states::test_another_schedule_is_refused_by_name"]),
    34: ("a state that replaces a method", [SCHEDULES, "test_attach_states::test_a_state_that_is_none"]),
    35: (
        "parameters in another order",
        [
            SCHEDULES,
            "test_optim_faults::test_parameters_in_another_order",
            "test_checkpoint::test_parameters_in_another_order",
        ],
    ),
    36: ("parameters of other shapes", [SCHEDULES, "test_optim_faults::test_states_that_do_not_fit"]),
    37: ("another optimizer's state", [SCHEDULES, "test_optim_faults::test_states_that_do_not_fit"]),
    38: ("impossible numbers in a state", [SCHEDULES, "test_optim_faults::test_states_that_do_not_fit"]),
    39: ("an empty state", [SCHEDULES, "test_optim_faults::test_states_that_do_not_fit"]),
    40: (
        "moments of another type",
        [
            "test_faults_state::test_moments_of_another_type",
            "test_checkpoint::test_averaged_models_and_moments_of_another_type",
        ],
    ),
    41: ("a file cut short, garbage", ["test_faults_state::test_damage_is_noticed_and_survived"]),
    42: ("a bit flipped, junk, zeros", ["test_faults_state::test_damage_is_noticed_and_survived"]),
    43: ("killed at every call", ["test_checkpoint_crash::test_killed_at_every_call"]),
    44: (
        "signals in a save",
        ["test_faults_state::test_interrupted_at_every_call", "test_faults_state::test_signals_in_a_save"],
    ),
    45: (
        "disks and paths that refuse",
        [
            "test_checkpoint_crash::test_refused_at_every_call",
            "test_checkpoint_crash::test_a_full_disk",
            "test_checkpoint_crash::test_places_that_cannot_be",
            "test_checkpoint_crash::test_through_a_link",
            "test_checkpoint_crash::test_a_folder_that_may_only_be_read",
        ],
    ),
    46: ("two processes in one folder", ["test_checkpoint_crash::test_two_writers"]),
    47: ("a clock set back", ["test_checkpoint::test_newest_is_the_last_written"]),
    48: ("hostile files", ["test_faults_state::test_hostile_files_run_nothing"]),
    49: ("saved where it was mapped from", ["test_checkpoint::test_saving_where_tensors_were_mapped_from"]),
    50: ("another version's checkpoint", ["test_faults_state::test_another_versions_checkpoint"]),
}
