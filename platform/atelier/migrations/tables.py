"""Every table, so that importing this module fills the metadata."""

from atelier.accounts import key_models as keys
from atelier.accounts import models as accounts
from atelier.analytics import models as analytics
from atelier.catalog import authoring_models as authoring
from atelier.catalog import models as catalog
from atelier.catalog import search_models as search
from atelier.contracts import client_log, dead_messages, idempotency, oplog, outbox
from atelier.files import models as files
from atelier.generation import models as generation
from atelier.jobs import lane_models as lanes
from atelier.jobs import models as jobs
from atelier.ledger import models as ledger
from atelier.mail import models as mail
from atelier.notifications import models as notifications
from atelier.orders import models as orders
from atelier.orders import payment_models as payments
from atelier.webhooks import models as webhooks
from atelier.workshop import models as workshop

ALL = (
    accounts,
    analytics,
    authoring,
    catalog,
    client_log,
    dead_messages,
    files,
    generation,
    idempotency,
    jobs,
    keys,
    lanes,
    ledger,
    mail,
    notifications,
    oplog,
    orders,
    outbox,
    payments,
    search,
    webhooks,
    workshop,
)
