"""Ledgers as Optuna reads them, for tests: no connection is left open."""

import optuna
from sqlalchemy.pool import NullPool


def stored(place):
    """Optuna's own storage at a URL, or of a ledger that lies in a folder."""
    url = place if "://" in str(place) else f"sqlite:///{place}/ledger.db"
    return optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})


def kept(place, name=None):
    """A study of a ledger; its only one, where no name is given."""
    return optuna.load_study(study_name=name, storage=stored(place))
