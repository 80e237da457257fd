//! Mails in English.

use super::{Letter, Occasion, Text, minute};
use crate::domain::notice::Notice;

pub(super) fn write(app_url: &str, letter: Letter<'_>, occasion: Occasion<'_>) -> Text {
    let when = when(occasion);
    match letter {
        Letter::ConfirmAddress { token } => confirm_address(app_url, token, &when),
        Letter::SomebodySignedUp => Text {
            subject: "You already have an account",
            body: format!(
                "Somebody signed up with this address\n\
                 {when}.\n\
                 \n\
                 You have an account already, and it was not changed. If it was you, log in:\n\
                 {app_url}/login\n\
                 \n\
                 If it was not you, there is nothing you need to do.\n"
            ),
        },
        Letter::ResetPassword { token } => reset_password(app_url, token, &when),
        Letter::ConfirmNewAddress { token } => confirm_new_address(app_url, token, &when),
        Letter::AddressWanted => Text {
            subject: "Your address was asked for",
            body: format!(
                "Somebody asked to make this the address of another account\n\
                 {when}.\n\
                 \n\
                 It is the address of your account, and nothing was changed. If it was you,\n\
                 log in:\n\
                 {app_url}/login\n\
                 \n\
                 If it was not you, there is nothing you need to do.\n"
            ),
        },
        Letter::AddressChanged => Text {
            subject: "Your account has another address",
            body: format!(
                "The address of your account was changed to another one\n\
                 {when}.\n\
                 \n\
                 Mail about the account goes there from now on, and this address does not log\n\
                 in any more.\n\
                 \n\
                 If this was you, there is nothing you need to do.\n\
                 \n\
                 If it was not you, somebody knew your password. Tell whoever runs this\n\
                 service at once:\n\
                 {app_url}/\n"
            ),
        },
        Letter::ResetRequired { token } => reset_required(app_url, token, &when),
        Letter::AccountDeleted { until } => account_deleted(app_url, &minute(until), &when),
        Letter::Notice(notice) => about(app_url, notice, &when),
    }
}

fn when(occasion: Occasion<'_>) -> String {
    let moment = occasion.moment();
    match occasion.network {
        Some(network) => format!("on {moment}, from {network}"),
        None => format!("on {moment}"),
    }
}

fn confirm_address(app_url: &str, token: &str, when: &str) -> Text {
    Text {
        subject: "Confirm your address",
        body: format!(
            "Somebody signed up with this address\n\
             {when}.\n\
             \n\
             If it was you, confirm it within 24 hours:\n\
             {app_url}/verify-email#token={token}\n\
             \n\
             If this was not you, do nothing, or discard the sign-up at once:\n\
             {app_url}/cancel-signup#token={token}\n\
             \n\
             Token:\n\
             {token}\n"
        ),
    }
}

fn reset_password(app_url: &str, token: &str, when: &str) -> Text {
    Text {
        subject: "Choose a new password",
        body: format!(
            "Somebody asked for a new password for your account\n\
             {when}.\n\
             \n\
             If it was you, choose one within 30 minutes. That ends every session:\n\
             {app_url}/reset-password#token={token}\n\
             \n\
             If it was not you, there is nothing you need to do: your password stays.\n\
             \n\
             Token:\n\
             {token}\n"
        ),
    }
}

fn confirm_new_address(app_url: &str, token: &str, when: &str) -> Text {
    Text {
        subject: "Confirm your new address",
        body: format!(
            "Somebody asked to make this the address of their account\n\
             {when}.\n\
             \n\
             If it was you, confirm it within 30 minutes:\n\
             {app_url}/confirm-email#token={token}\n\
             \n\
             If it was not you, do nothing: then nothing changes.\n\
             \n\
             Token:\n\
             {token}\n"
        ),
    }
}

fn reset_required(app_url: &str, token: &str, when: &str) -> Text {
    Text {
        subject: "You need a new password",
        body: format!(
            "For your safety, whoever runs this service made the password of your account\n\
             void and ended all its sessions\n\
             {when}.\n\
             \n\
             Choose a new password within 30 minutes:\n\
             {app_url}/reset-password#token={token}\n\
             \n\
             Later, ask for another mail like this one:\n\
             {app_url}/forgot-password\n\
             \n\
             Use neither your old password nor one that you use elsewhere: somebody else\n\
             may know it.\n\
             \n\
             Token:\n\
             {token}\n"
        ),
    }
}

fn account_deleted(app_url: &str, until: &str, when: &str) -> Text {
    Text {
        subject: "Your account is being deleted",
        body: format!(
            "The deletion of your account was asked for\n\
             {when}.\n\
             \n\
             It is closed, and nothing in it can be read any more. If this was not you, or\n\
             if you change your mind, ask whoever runs this service to undo it, before\n\
             {until}.\n\
             \n\
             After that everything is destroyed, and nobody can bring it back.\n\
             Your address is free for a new account:\n\
             {app_url}/signup\n"
        ),
    }
}

fn about(app_url: &str, notice: Notice, when: &str) -> Text {
    let (subject, happened) = match notice {
        Notice::PasswordChanged => (
            "Your password was changed",
            "The password of your account was changed, which ended its other sessions,",
        ),
        Notice::MfaEnabled => (
            "Two-factor authentication is on",
            "Two-factor authentication was switched on for your account",
        ),
        Notice::MfaDisabled => (
            "Two-factor authentication is off",
            "Two-factor authentication was switched off for your account",
        ),
        Notice::RecoveryCodesReplaced => (
            "You have new recovery codes",
            "The recovery codes of your account were replaced, and the old ones are void,",
        ),
        Notice::SecondFactorGuessed => (
            "Wrong codes for your account",
            "Somebody who knows the password of your account showed one wrong code after\n\
             another. It takes none for a while; the last one came",
        ),
        Notice::TokenReused => (
            "A session was ended for your safety",
            "A session of your account was used by two devices, as if a copy of it had\n\
             been stolen. It was ended",
        ),
        Notice::NewDevice => (
            "A login from a new device",
            "Somebody logged in to your account from a device that it did not know",
        ),
    };
    Text {
        subject,
        body: format!(
            "{happened}\n\
             {when}.\n\
             \n\
             If this was you, there is nothing you need to do.\n\
             \n\
             If it was not you, choose a new password at once. That ends every session:\n\
             {app_url}/forgot-password\n"
        ),
    }
}
