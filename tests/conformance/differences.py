"""Known differences between Google's emulator and the cloud: tests that fail on the emulator, with the reason.

The cloud's documentation is the standard, and the embedded server passes every test. Version 0.8.20 was measured.
"""

from __future__ import annotations

GOOGLE: dict[str, str] = {
    "test_labels_are_updated_by_mask": "UpdateTopic changes retention and schema settings only",
    "test_a_message_over_10_mb_is_refused": "publish has no size limit",
    "test_expires_by_default": "subscriptions have no expiration policy",
    "test_a_missing_resource_is_named": "NOT_FOUND does not name the resource",
    "test_bad_attempts_are_refused": "wrong attempts are OUT_OF_RANGE",
    "test_a_short_ack_deadline_is_refused": "ack deadlines under 10 s are accepted",
    "test_backoff_between_deliveries": "the retry policy does not delay the first redelivery, others by whole seconds",
    "test_snapshots_are_listed_changed_and_deleted": "UpdateSnapshot is not there",
    "test_flow_control_limits_messages": "streams ignore max_outstanding_messages and leave flow control to the client",
    "test_a_backlog_over_4_mb_is_delivered": "responses exceed the 4 MB that a stock client receives: nothing arrives",
    "test_the_body_counts_attempts_under_a_dead_letter_policy": "push bodies have no deliveryAttempt",
    "test_the_body_carries_the_ordering_key": "push bodies have no orderingKey",
    "test_success_statuses_ack_a_push[google-202]": "202 does not acknowledge a push",
    "test_other_statuses_nack_a_push[google-203]": "203 acknowledges a push",
    "test_pushes_are_retried_with_backoff": "pushes are retried after whole seconds, whatever the retry policy",
    "test_concurrent_pushes_share_few_connections": "at most two pushes are out at a time",
    "test_a_push_subscription_cannot_be_pulled": "push subscriptions can be pulled",
    "test_filtered_pull": "filters are accepted and not applied",
    "test_filtered_push": "filters are accepted and not applied",
    "test_a_bad_filter_is_an_invalid_argument": "filters are not read",
    "test_a_policy_is_kept": "IAM is not there: 501",
    "test_a_stale_etag_is_aborted": "IAM is not there: 501",
    "test_a_new_topic_of_an_old_name_has_no_policy": "IAM is not there: 501",
    "test_a_policy_of_a_missing_resource_is_not_found": "IAM is not there: 501",
    "test_a_wrong_policy_is_refused": "IAM is not there: 501",
    "test_permissions_are_tested": "IAM is not there: 501",
    "test_an_unwrapped_push_keeps_every_byte": "unwrapped bodies are text: bytes that are no UTF-8 are replaced",
    "test_a_detached_subscription_is_cut_off": "DetachSubscription is not there: 501",
    "test_ingestion_settings_are_kept_in_an_error_state": "topics have no state",
    "test_transforms_and_exports_are_refused": "accepted, without effect",
    "test_protocol_buffer_schemas_validate_messages": "schemas of type PROTOCOL_BUFFER are not there: 501",
    "test_attributes_cannot_forge_headers": "nothing is pushed when an attribute cannot be a header",
}
