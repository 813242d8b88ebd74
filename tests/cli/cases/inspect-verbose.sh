eckart inspect model -v
