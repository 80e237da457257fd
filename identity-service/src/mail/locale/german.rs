//! Mails in German.

use super::{Letter, Occasion, Text, minute};
use crate::domain::notice::Notice;

pub(super) fn write(app_url: &str, letter: Letter<'_>, occasion: Occasion<'_>) -> Text {
    let when = when(occasion);
    match letter {
        Letter::ConfirmAddress { token } => confirm_address(app_url, token, &when),
        Letter::SomebodySignedUp => Text {
            subject: "Sie haben bereits ein Konto",
            body: format!(
                "Jemand hat sich mit dieser Adresse registriert:\n\
                 {when}.\n\
                 \n\
                 Sie haben bereits ein Konto, und es wurde nicht verändert.\n\
                 Wenn Sie es waren, melden Sie sich an:\n\
                 {app_url}/login\n\
                 \n\
                 Wenn Sie es nicht waren, müssen Sie nichts tun.\n"
            ),
        },
        Letter::ResetPassword { token } => reset_password(app_url, token, &when),
        Letter::ConfirmNewAddress { token } => confirm_new_address(app_url, token, &when),
        Letter::AddressWanted => Text {
            subject: "Ihre Adresse wurde angefragt",
            body: format!(
                "Jemand wollte diese Adresse für ein anderes Konto:\n\
                 {when}.\n\
                 \n\
                 Sie gehört zu Ihrem Konto, und es wurde nichts verändert.\n\
                 Wenn Sie es waren, melden Sie sich an:\n\
                 {app_url}/login\n\
                 \n\
                 Wenn Sie es nicht waren, müssen Sie nichts tun.\n"
            ),
        },
        Letter::AddressChanged => Text {
            subject: "Ihr Konto hat eine andere Adresse",
            body: format!(
                "Ihr Konto hat eine andere Adresse bekommen:\n\
                 {when}.\n\
                 \n\
                 Post zu Ihrem Konto geht von nun an dorthin, und mit dieser Adresse kann\n\
                 sich niemand mehr anmelden.\n\
                 \n\
                 Wenn Sie das waren, müssen Sie nichts tun.\n\
                 \n\
                 Wenn Sie es nicht waren, kannte jemand Ihr Passwort. Sagen Sie es gleich\n\
                 dem Betreiber dieses Dienstes:\n\
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
        Some(network) => format!("am {moment}, von {network}"),
        None => format!("am {moment}"),
    }
}

fn confirm_address(app_url: &str, token: &str, when: &str) -> Text {
    Text {
        subject: "Bestätigen Sie Ihre Adresse",
        body: format!(
            "Jemand hat sich mit dieser Adresse registriert:\n\
             {when}.\n\
             \n\
             Wenn Sie es waren, bestätigen Sie das innerhalb von 24 Stunden:\n\
             {app_url}/verify-email#token={token}\n\
             \n\
             Wenn Sie es nicht waren, tun Sie nichts, oder verwerfen Sie die\n\
             Registrierung gleich:\n\
             {app_url}/cancel-signup#token={token}\n\
             \n\
             Code:\n\
             {token}\n"
        ),
    }
}

fn reset_password(app_url: &str, token: &str, when: &str) -> Text {
    Text {
        subject: "Wählen Sie ein neues Passwort",
        body: format!(
            "Jemand hat ein neues Passwort für Ihr Konto angefordert:\n\
             {when}.\n\
             \n\
             Wenn Sie es waren, wählen Sie es innerhalb von 30 Minuten. Das beendet alle\n\
             Sitzungen:\n\
             {app_url}/reset-password#token={token}\n\
             \n\
             Wenn Sie es nicht waren, müssen Sie nichts tun: Ihr Passwort bleibt.\n\
             \n\
             Code:\n\
             {token}\n"
        ),
    }
}

fn confirm_new_address(app_url: &str, token: &str, when: &str) -> Text {
    Text {
        subject: "Bestätigen Sie Ihre neue Adresse",
        body: format!(
            "Jemand möchte diese Adresse für sein Konto:\n\
             {when}.\n\
             \n\
             Wenn Sie es waren, bestätigen Sie das innerhalb von 30 Minuten:\n\
             {app_url}/confirm-email#token={token}\n\
             \n\
             Wenn Sie es nicht waren, tun Sie nichts: dann ändert sich nichts.\n\
             \n\
             Code:\n\
             {token}\n"
        ),
    }
}

fn reset_required(app_url: &str, token: &str, when: &str) -> Text {
    Text {
        subject: "Sie brauchen ein neues Passwort",
        body: format!(
            "Zu Ihrem Schutz hat der Betreiber dieses Dienstes das Passwort Ihres Kontos\n\
             für ungültig erklärt und alle Sitzungen beendet:\n\
             {when}.\n\
             \n\
             Wählen Sie innerhalb von 30 Minuten ein neues Passwort:\n\
             {app_url}/reset-password#token={token}\n\
             \n\
             Danach fordern Sie noch eine solche Mail an:\n\
             {app_url}/forgot-password\n\
             \n\
             Nehmen Sie weder Ihr altes Passwort noch eines, das Sie anderswo benutzen:\n\
             jemand anderes könnte es kennen.\n\
             \n\
             Code:\n\
             {token}\n"
        ),
    }
}

fn account_deleted(app_url: &str, until: &str, when: &str) -> Text {
    Text {
        subject: "Ihr Konto wird gelöscht",
        body: format!(
            "Die Löschung Ihres Kontos wurde verlangt:\n\
             {when}.\n\
             \n\
             Es ist geschlossen, und nichts darin kann mehr gelesen werden. Wenn Sie das\n\
             nicht waren oder es sich anders überlegen, bitten Sie den Betreiber dieses\n\
             Dienstes, es rückgängig zu machen, und zwar vor\n\
             {until}.\n\
             \n\
             Danach wird alles vernichtet, und niemand kann es zurückholen.\n\
             Ihre Adresse ist frei für ein neues Konto:\n\
             {app_url}/signup\n"
        ),
    }
}

fn about(app_url: &str, notice: Notice, when: &str) -> Text {
    let (subject, happened) = match notice {
        Notice::PasswordChanged => (
            "Ihr Passwort wurde geändert",
            "Das Passwort Ihres Kontos wurde geändert; die anderen Sitzungen sind beendet:",
        ),
        Notice::MfaEnabled => (
            "Zwei-Faktor-Anmeldung eingeschaltet",
            "Die Zwei-Faktor-Anmeldung Ihres Kontos wurde eingeschaltet:",
        ),
        Notice::MfaDisabled => (
            "Zwei-Faktor-Anmeldung ausgeschaltet",
            "Die Zwei-Faktor-Anmeldung Ihres Kontos wurde ausgeschaltet:",
        ),
        Notice::RecoveryCodesReplaced => (
            "Sie haben neue Wiederherstellungscodes",
            "Die Wiederherstellungscodes Ihres Kontos wurden ersetzt; die alten gelten\n\
             nicht mehr:",
        ),
        Notice::SecondFactorGuessed => (
            "Falsche Codes für Ihr Konto",
            "Jemand, der das Passwort Ihres Kontos kennt, hat einen falschen Code nach dem\n\
             anderen eingegeben. Es nimmt für eine Weile keinen mehr an; der letzte kam:",
        ),
        Notice::TokenReused => (
            "Eine Sitzung wurde zu Ihrem Schutz beendet",
            "Eine Sitzung Ihres Kontos wurde von zwei Geräten benutzt, als wäre eine Kopie\n\
             von ihr gestohlen worden. Sie wurde beendet:",
        ),
        Notice::NewDevice => (
            "Anmeldung von einem neuen Gerät",
            "Jemand hat sich von einem Gerät angemeldet, das Ihr Konto noch nicht kannte:",
        ),
    };
    Text {
        subject,
        body: format!(
            "{happened}\n\
             {when}.\n\
             \n\
             Wenn Sie das waren, müssen Sie nichts tun.\n\
             \n\
             Wenn Sie es nicht waren, wählen Sie gleich ein neues Passwort. Das beendet\n\
             alle Sitzungen:\n\
             {app_url}/forgot-password\n"
        ),
    }
}
