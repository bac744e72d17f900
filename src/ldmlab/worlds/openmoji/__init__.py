"""The pictures of OpenMoji under the names that Unicode gives them."""
