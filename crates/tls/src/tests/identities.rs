//! Who is who.

use super::*;

fn server(options: ServerOptions) -> ServerContext {
    ServerContext::new(options).unwrap()
}

fn client(trust: Trust) -> ClientContext {
    ClientContext::new(ClientOptions::new(trust, Clock::new(NOW))).unwrap()
}

#[test]
fn a_server_that_is_not_trusted_is_refused() {
    let identity = Identity::self_made(&[NAME]).unwrap();
    let server = server(ServerOptions::new(vec![identity], Clock::new(NOW)));
    for trust in [Trust::nobody(), Trust::fingerprints([[7; 32]])] {
        let error = shake(&client(trust), &server, usize::MAX).err().unwrap();
        assert!(matches!(error, TlsError::Handshake(_)), "{error}");
    }
}

#[test]
fn rfc6066_3_the_identity_of_the_name_is_shown_and_else_the_first() {
    let names = ["a.example", NAME, "*.c.example"];
    let identities: Vec<_> =
        names.iter().map(|name| Identity::self_made(&[name]).unwrap()).collect();
    let fingerprints: Vec<_> = identities.iter().map(Identity::fingerprint).collect();
    let server = server(ServerOptions::new(identities, Clock::new(NOW)));
    let client = client(Trust::fingerprints(fingerprints.clone()));
    for (name, index) in
        [("a.example", 0), (NAME, 1), ("x.c.example", 2), ("other.example", 0), ("10.0.0.2", 0)]
    {
        let (mut here, mut there) = (client.handshake(name).unwrap(), server.handshake().unwrap());
        pass(&mut here, &mut there, usize::MAX).unwrap();
        pass(&mut there, &mut here, usize::MAX).unwrap();
        let shown = here.into_session().unwrap().info().peer_fingerprint;
        assert_eq!(shown, Some(fingerprints[index]), "{name}");
    }
}

/// A server that asks for certificates, and a client that shows this one.
fn with_client(
    clients: ClientCertificates,
    identity: Option<Identity>,
) -> (ClientContext, ServerContext) {
    let own = Identity::self_made(&[NAME]).unwrap();
    let trust = Trust::fingerprints([own.fingerprint()]);
    let server =
        server(ServerOptions { clients, ..ServerOptions::new(vec![own], Clock::new(NOW)) });
    let options = ClientOptions { identity, ..ClientOptions::new(trust, Clock::new(NOW)) };
    (ClientContext::new(options).unwrap(), server)
}

#[test]
fn clients_certificates_are_asked_for_as_told() {
    let known = Identity::self_made(&["known"]).unwrap();
    let stranger = Identity::self_made(&["stranger"]).unwrap();
    let trust = || Trust::fingerprints([known.fingerprint()]);
    let off = || ClientCertificates::Off;
    let optional = || ClientCertificates::Optional(trust());
    let required = || ClientCertificates::Required(trust());
    let shown = |clients, identity: Option<&Identity>| {
        let (client, server) = with_client(clients, identity.cloned());
        let (_, there) = shake(&client, &server, usize::MAX).ok()?;
        Some(there.info().peer_fingerprint)
    };
    assert_eq!(shown(off(), Some(&known)), Some(None));
    assert_eq!(shown(optional(), None), Some(None));
    assert_eq!(shown(optional(), Some(&known)), Some(Some(known.fingerprint())));
    assert_eq!(shown(optional(), Some(&stranger)), None);
    assert_eq!(shown(required(), None), None);
    assert_eq!(shown(required(), Some(&known)), Some(Some(known.fingerprint())));
    assert_eq!(shown(required(), Some(&stranger)), None);
}

#[test]
fn resumption_never_skips_a_client_s_certificate() {
    let known = Identity::self_made(&["known"]).unwrap();
    let clients = ClientCertificates::Required(Trust::fingerprints([known.fingerprint()]));
    let (client, server) = with_client(clients, Some(known));
    for _ in 0..3 {
        let (mut here, mut there) = shake(&client, &server, usize::MAX).unwrap();
        opened(&mut here, &mut sealed(&mut there, b"x")).unwrap();
        assert!(!there.info().is_resumed && there.info().peer_fingerprint.is_some());
    }
}

#[test]
fn without_a_clock_a_server_serves_and_a_client_trusts_nobody() {
    let identity = Identity::self_made(&[NAME]).unwrap();
    let trust = Trust::fingerprints([identity.fingerprint()]);
    let server = server(ServerOptions::new(vec![identity], Clock::unset()));
    assert!(shake(&client(trust.clone()), &server, usize::MAX).is_ok());
    let client = ClientContext::new(ClientOptions::new(trust, Clock::unset())).unwrap();
    let error = shake(&client, &server, usize::MAX).err().unwrap();
    assert!(alloc::format!("{error}").contains("time"), "{error}");
}

#[test]
fn servers_that_share_a_ticket_key_open_each_other_s_tickets_and_others_do_not() {
    let identity = Identity::self_made(&[NAME]).unwrap();
    let trust = Trust::fingerprints([identity.fingerprint()]);
    let with_key = |key: Option<u8>| {
        let ticket_key = key.map(|byte| TicketKey::new([byte; 32]));
        let options = ServerOptions::new(vec![identity.clone()], Clock::new(NOW));
        server(ServerOptions { ticket_key, ..options })
    };
    let resumes = |one: Option<u8>, other: Option<u8>| {
        let client = client(trust.clone());
        let (mut here, mut there) = shake(&client, &with_key(one), usize::MAX).unwrap();
        opened(&mut here, &mut sealed(&mut there, b"x")).unwrap();
        shake(&client, &with_key(other), usize::MAX).unwrap().1.info().is_resumed
    };
    assert!(resumes(Some(1), Some(1)));
    assert!(!resumes(Some(1), Some(2)));
    assert!(!resumes(None, None));
}

#[test]
fn pem_that_is_no_identity_says_why() {
    let refused = |certificates: &str, key: &str| {
        Identity::from_pem(certificates.as_bytes(), key.as_bytes()).unwrap_err()
    };
    let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(refused("", key), IdentityError::NoCertificate);
    assert_eq!(refused(key, key), IdentityError::NoCertificate);
    assert_eq!(refused(certificate, ""), IdentityError::NoKey);
    assert_eq!(refused(certificate, encrypted), IdentityError::EncryptedKey);
    assert_eq!(refused(certificate, key), IdentityError::BadCertificate);
}
