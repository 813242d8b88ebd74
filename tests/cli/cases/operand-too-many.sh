eckart inspect model model
