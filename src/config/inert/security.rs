//! Settings of TLS, logins, delegation tokens and authorization. None acts before listeners can authenticate.

use super::rows;
use crate::config::registry::{Key, Kind, Valid};

rows! { SECURITY
    "authorizer.class.name": String = "" [later],
        "Class that decides who may do what.";
    "connections.max.reauth.ms": Long = "0" [later],
        "How long a login lasts before it must be renewed; 0 is for ever.";
    "sasl.server.max.receive.size": Int = "524288" [later],
        "Largest frame during a login.";
    "security.providers": String = null,
        "Classes that provide security algorithms.";
    "principal.builder.class": Class = "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"
        [dynamic],
        "Class that names the user of a connection.";
    "delegation.token.secret.key": Password = null [later],
        "Secret that signs delegation tokens.";
    "delegation.token.max.lifetime.ms": Long = "604800000" [at_least(1), later],
        "Longest life of a delegation token.";
    "delegation.token.expiry.time.ms": Long = "86400000" [at_least(1), later],
        "Life of a delegation token until it is renewed.";
    "delegation.token.expiry.check.interval.ms": Long = "3600000" [at_least(1), later],
        "How often expired delegation tokens are looked for.";
    "ssl.client.auth": String = "none" [one_of(&["required", "requested", "none"]), dynamic, later],
        "Whether clients must show a certificate.";
    "ssl.principal.mapping.rules": String = "DEFAULT" [later],
        "Rules that turn a certificate's name into a user.";
    "ssl.allow.dn.changes": Boolean = "false" [later],
        "Whether a new certificate may carry another distinguished name.";
    "ssl.allow.san.changes": Boolean = "false" [later],
        "Whether a new certificate may carry other alternative names.";
    "ssl.protocol": String = "TLSv1.3" [dynamic, later],
        "TLS version to prefer.";
    "ssl.provider": String = null [dynamic],
        "Provider of TLS.";
    "ssl.enabled.protocols": List = "TLSv1.2,TLSv1.3" [distinct, dynamic, later],
        "TLS versions to accept.";
    "ssl.cipher.suites": List = "" [dynamic, later],
        "Cipher suites to accept; empty is the library's choice.";
    "ssl.keystore.type": String = "JKS" [dynamic, later],
        "Format of the key store.";
    "ssl.keystore.location": String = null [dynamic, later],
        "File of the key store.";
    "ssl.keystore.password": Password = null [dynamic, later],
        "Password of the key store.";
    "ssl.key.password": Password = null [dynamic, later],
        "Password of the private key.";
    "ssl.keystore.key": Password = null [dynamic, later],
        "Private key, as PEM.";
    "ssl.keystore.certificate.chain": Password = null [dynamic, later],
        "Certificate chain, as PEM.";
    "ssl.truststore.type": String = "JKS" [dynamic, later],
        "Format of the trust store.";
    "ssl.truststore.location": String = null [dynamic, later],
        "File of the trust store.";
    "ssl.truststore.password": Password = null [dynamic, later],
        "Password of the trust store.";
    "ssl.truststore.certificates": Password = null [dynamic, later],
        "Trusted certificates, as PEM.";
    "ssl.keymanager.algorithm": String = "SunX509" [dynamic],
        "Java's algorithm for keys.";
    "ssl.trustmanager.algorithm": String = "PKIX" [dynamic],
        "Java's algorithm for trust.";
    "ssl.endpoint.identification.algorithm": String = "https" [dynamic, later],
        "How host names are checked against certificates.";
    "ssl.secure.random.implementation": String = null [dynamic],
        "Java's source of randomness for TLS.";
    "ssl.engine.factory.class": Class = null [dynamic],
        "Class that makes TLS engines.";
    "sasl.mechanism.inter.broker.protocol": String = "GSSAPI" [dynamic],
        "SASL mechanism among brokers.";
    "sasl.enabled.mechanisms": List = "GSSAPI" [dynamic, later],
        "SASL mechanisms to accept.";
    "sasl.server.callback.handler.class": Class = null,
        "Class that checks credentials.";
    "sasl.client.callback.handler.class": Class = null,
        "Class that supplies credentials.";
    "sasl.jaas.config": Password = null [dynamic, later],
        "Login configuration in Java's JAAS form.";
    "sasl.login.class": Class = null,
        "Class that logs in.";
    "sasl.login.callback.handler.class": Class = null,
        "Class that answers a login's questions.";
    "sasl.login.connect.timeout.ms": Int = null,
        "Timeout to connect to a login provider.";
    "sasl.login.read.timeout.ms": Int = null,
        "Timeout to read from a login provider.";
    "sasl.login.retry.backoff.max.ms": Long = "10000",
        "Longest pause before a login is repeated.";
    "sasl.login.retry.backoff.ms": Long = "100",
        "First pause before a login is repeated.";
    "sasl.login.refresh.window.factor": Double = "0.8" [dynamic],
        "Share of a credential's life after which it is renewed.";
    "sasl.login.refresh.window.jitter": Double = "0.05" [dynamic],
        "Random part of the time of a credential's renewal.";
    "sasl.login.refresh.min.period.seconds": Short = "60" [dynamic],
        "Shortest time between two renewals.";
    "sasl.login.refresh.buffer.seconds": Short = "300" [dynamic],
        "Time kept free before a credential expires.";
    "sasl.kerberos.service.name": String = null [dynamic],
        "Kerberos name of the service.";
    "sasl.kerberos.kinit.cmd": String = "/usr/bin/kinit" [dynamic],
        "Path of kinit.";
    "sasl.kerberos.ticket.renew.window.factor": Double = "0.8" [dynamic],
        "Share of a ticket's life after which it is renewed.";
    "sasl.kerberos.ticket.renew.jitter": Double = "0.05" [dynamic],
        "Random part of the time of a ticket's renewal.";
    "sasl.kerberos.min.time.before.relogin": Long = "60000" [dynamic],
        "Shortest time between two Kerberos logins.";
    "sasl.kerberos.principal.to.local.rules": List = "DEFAULT" [dynamic],
        "Rules that turn a Kerberos principal into a user.";
    "sasl.oauthbearer.jwt.retriever.class": Class = "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
        "Class that fetches tokens.";
    "sasl.oauthbearer.jwt.validator.class": Class = "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator",
        "Class that checks tokens.";
    "sasl.oauthbearer.scope": String = null,
        "Scope to ask a token for.";
    "sasl.oauthbearer.client.credentials.client.id": String = null,
        "Client id to ask a token with.";
    "sasl.oauthbearer.client.credentials.client.secret": Password = null,
        "Client secret to ask a token with.";
    "sasl.oauthbearer.assertion.algorithm": String = "RS256" [valid(Valid::OneOfIgnoringCase(&["ES256", "RS256"]))],
        "Algorithm that signs an assertion.";
    "sasl.oauthbearer.assertion.claim.aud": String = null,
        "Audience of an assertion.";
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int = "300" [between(0, 86400)],
        "Life of an assertion.";
    "sasl.oauthbearer.assertion.claim.iss": String = null,
        "Issuer of an assertion.";
    "sasl.oauthbearer.assertion.claim.jti.include": Boolean = "false",
        "Whether an assertion carries an id.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int = "60" [between(0, 3600)],
        "How far back an assertion is valid.";
    "sasl.oauthbearer.assertion.claim.sub": String = null,
        "Subject of an assertion.";
    "sasl.oauthbearer.assertion.file": String = null,
        "File of a ready assertion.";
    "sasl.oauthbearer.assertion.private.key.file": String = null,
        "File of the key that signs assertions.";
    "sasl.oauthbearer.assertion.private.key.passphrase": Password = null,
        "Passphrase of the key that signs assertions.";
    "sasl.oauthbearer.assertion.template.file": String = null,
        "File of an assertion's template.";
    "sasl.oauthbearer.scope.claim.name": String = "scope" [later],
        "Claim that holds the scope.";
    "sasl.oauthbearer.sub.claim.name": String = "sub" [later],
        "Claim that holds the subject.";
    "sasl.oauthbearer.token.endpoint.url": String = null,
        "Where tokens are issued.";
    "sasl.oauthbearer.jwks.endpoint.url": String = null [later],
        "Where the keys that sign tokens are published.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long = "3600000" [later],
        "How often the keys that sign tokens are fetched again.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long = "100" [later],
        "First pause before a failed fetch of those keys is repeated.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long = "10000" [later],
        "Longest pause before a failed fetch of those keys is repeated.";
    "sasl.oauthbearer.clock.skew.seconds": Int = "30" [later],
        "How far the clocks of issuer and broker may differ.";
    "sasl.oauthbearer.expected.audience": List = "" [later],
        "Audiences of which a token must name one.";
    "sasl.oauthbearer.expected.issuer": String = null [later],
        "Issuer that a token must name.";
}
