# SPDX-License-Identifier: Apache-2.0
"""A DAG file as the DAG processor sees it, on Airflow 2.11 and 3."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def parse(path: Path) -> Any:
    """The DagBag of one file: ``dags`` and ``import_errors``."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2
        from airflow.models.dagbag import DagBag
    return DagBag(dag_folder=str(path))


def round_trip(dag: Any) -> Any:
    """The DAG as the scheduler reads it from the database, JSON in between."""
    try:
        from airflow.serialization.serialized_objects import DagSerialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization
    return DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))


def store(dag: Any, folder: Path) -> None:
    """Put a DAG of a bundle in that folder into the database, as the DAG processor would. Airflow 3.1 on."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    named = {"bundle_name": "dags-folder"}
    try:
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    except ImportError:  # 3.1
        from airflow.models.dagbag import BundleDagBag, sync_bag_to_db

        named = {}
    DagBundlesManager().sync_bundles_to_db()
    bag = BundleDagBag(dag_folder=os.devnull, bundle_path=folder, **named)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
