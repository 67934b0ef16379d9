"""Fields and stations on the earth: NetCDF, zarr, xarray, and tables with latitudes and longitudes."""
