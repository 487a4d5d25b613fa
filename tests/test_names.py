"""The name that a person would give an event: by splitting words and forming the past, never from a list of events."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsoy_events._declare import follows_convention
from fastsoy_events.inspection.check._english import is_past, past
from fastsoy_events.inspection.check._names import suggestion


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("EmployeeCreated", "employee.created"),
        ("change_employee_status_done", "employee.status_changed"),
        ("RefundOrder", "order.refunded"),
    ],
)
def test_the_three_of_the_convention(name: str, better: str) -> None:
    assert suggestion(name) == better


@pytest.mark.parametrize(
    "name",
    [
        "employeeCreated",
        "EMPLOYEE_CREATED",
        "Employee_Created",
        "employee-created",
        "employee:created",
        "employee/created",
        "Employee Created",
        "Employee.Created",
        "Employee.Create",
        "EmployeeCreate",
        "CreateEmployee",
        "create_employee",
        "CreatedEmployee",
        "onEmployeeCreated",
        "on_employee_created",
        "EmployeeCreatedEvent",
        "employee_was_created",
        "EmployeeHasBeenCreated",
    ],
)
def test_every_way_to_write_two_words(name: str) -> None:
    assert suggestion(name) == "employee.created"


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("SendInvoice", "invoice.sent"),
        ("PayInvoice", "invoice.paid"),
        ("resend_invoice", "invoice.resent"),
        ("CancelBooking", "booking.cancelled"),
        ("ShipParcel", "parcel.shipped"),
        ("SubmitForm", "form.submitted"),
        ("TransferMoney", "money.transferred"),
        ("QuarantineParcel", "parcel.quarantined"),
        ("EscalateTicket", "ticket.escalated"),
        ("NotifyCustomer", "customer.notified"),
        ("DeliverParcel", "parcel.delivered"),
        ("PromoteEmployee", "employee.promoted"),
        ("set_price", "price.set"),
        ("CreateTemplate", "template.created"),
    ],
)
def test_a_command_becomes_what_has_happened(name: str, better: str) -> None:
    assert suggestion(name) == better


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("FileUpload", "file.uploaded"),
        ("JobStart", "job.started"),
        ("TemplateUpdate", "template.updated"),
        ("employee_left", "employee.left"),
        ("PasswordReset", "password.reset"),
        ("payment_failed", "payment.failed"),
        ("user_login", "user.logged_in"),
    ],
)
def test_a_verb_may_come_last(name: str, better: str) -> None:
    assert suggestion(name) == better


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("UserLoggedIn", "user.logged_in"),
        ("SignUpUser", "user.signed_up"),
        ("checkout_cart", "cart.checked_out"),
        ("OrderShippedToCustomer", "order.shipped_to_customer"),
        ("AddUserToGroup", "user.added_to_group"),
        ("PurchaseOrderApproved", "purchase_order.approved"),
        ("approve_purchase_order", "purchase_order.approved"),
        ("AddInvoiceItem", "invoice.item_added"),
        ("userEmailAddressChanged", "user.email_address_changed"),
        ("PasswordResetRequested", "password_reset.requested"),
        ("HTTPRequestFailed", "http_request.failed"),
        ("order_payment_done", "order_payment.done"),
        ("hr.EmployeeCreated", "hr.employee.created"),
        ("employee.statusChanged", "employee.status_changed"),
        ("Employee.StatusChanged", "employee.status_changed"),
        ("Employee.ChangeStatus", "employee.status_changed"),
    ],
)
def test_more_words_are_parted_where_a_person_would(name: str, better: str) -> None:
    assert suggestion(name) == better


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "misc",
        "created",
        "Order",
        "OrderRefund",
        "UserProfile",
        "order_line",
        "NewEmployee",
        "BeforeSave",
        "RequestReview",
        "sign_up",
        "EmployeeCreatedV2",
        "create_employee_failed",
        "Order.Status",
        "order..created",
        "order.created!",
        "\u8ba2\u5355Created",
        "Employ\u00e9Created",
        "order created\x1b[31m",
        "a.B",
        "2Created",
        "Created" * 100,
    ],
)
def test_where_no_guess_is_good_there_is_none(name: str) -> None:
    assert suggestion(name) == ""


@given(st.text(alphabet=string.ascii_letters + string.digits + "._- \n\x00\u00e9", max_size=80))
def test_whatever_is_suggested_follows_the_convention_and_is_something_else(name: str) -> None:
    better = suggestion(name)
    assert not better or (follows_convention(better) and better != name)


@pytest.mark.parametrize(
    ("verb", "participle"),
    [
        ("create", "created"),
        ("free", "freed"),
        ("apply", "applied"),
        ("deploy", "deployed"),
        ("stop", "stopped"),
        ("plan", "planned"),
        ("fix", "fixed"),
        ("review", "reviewed"),
        ("open", "opened"),
        ("visit", "visited"),
        ("limit", "limited"),
        ("commit", "committed"),
        ("offer", "offered"),
        ("refer", "referred"),
        ("occur", "occurred"),
        ("cancel", "cancelled"),
        ("equip", "equipped"),
        ("unplug", "unplugged"),
        ("render", "rendered"),
        ("make", "made"),
        ("rebuild", "rebuilt"),
        ("withdraw", "withdrawn"),
    ],
)
def test_the_past_is_formed_by_rule(verb: str, participle: str) -> None:
    assert past(verb) == participle
    assert is_past(participle)


@pytest.mark.parametrize("word", ["need", "feed", "speed", "red", "hundred", "status", "order", "bed"])
def test_what_only_ends_like_a_past_is_none(word: str) -> None:
    assert not is_past(word)
